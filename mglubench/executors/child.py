"""A session in a process of its own, so that a crash, a hang or an out-of-memory kill costs one case and not the sweep.

The worker (``python -m mglubench.executors.worker``) is reused while it is healthy. When it dies or must be killed,
the case that it was working on fails with a reason, and the next request starts a new worker; cases that were prepared
in the old one are prepared again when their turn comes. Requests and replies are JSON lines over two pipes; what the
worker prints goes to a log file, of which a crash report quotes the end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors.introduction import Introduction, Launch
from mglubench.executors.machine import Machine
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.executors.worker_process import WorkerProcess
from mglubench.hardware.environment import total_memory
from mglubench.status import Status
from mglubench.system.capped_log import CappedLog
from mglubench.system.plain_text import plain
from mglubench.system.shelf import Keeper

DESCRIBE_TIMEOUT = 300.0
FINISH_GRACE = 1.0
REST_TIMEOUT = 10.0
# Of the memory, what inputs and references that workers have in common may take.
KEPT_SHARE = 1 / 16

T = TypeVar("T")


class ChildSession:
    """Runs cases in a worker process.

    Args:
        log: file that the worker's output is appended to. case_timeout: seconds that one case may spend in the worker.
        kept: the log, where another session has opened it and will close it. launch: of workers of another Python or
            checkout. home: the session that this one is beside, whose log it writes into. Closed, it is left to that
            one, which has it ready for another set and ends it for good.
    """

    def __init__(
        self,
        log: Path,
        case_timeout: float,
        kept: CappedLog | None = None,
        launch: Launch | None = None,
        home: ChildSession | None = None,
    ) -> None:
        self._log, self._home = log, home
        self._owns_log = kept is None
        self._kept = kept or CappedLog(log)
        self._resting: list[ChildSession] = []
        self._keeper: Keeper = home._keeper if home else Keeper(int(KEPT_SHARE * total_memory()))
        self._case_timeout = case_timeout
        self._launch = launch
        self._worker: WorkerProcess | None = None
        self._ready: set[Case] = set()
        self._spent: dict[Case, float] = {}
        # What the worker was sent ahead of the call that waits for it.
        self._ahead: tuple[str, Case] | None = None
        self.workers_started = 0
        # Why the device was in doubt the last time that a worker gave up its context; see take_spoiled.
        self._spoiled = ""

    def take_spoiled(self) -> str:
        """What puts the device in doubt since this was asked last: a CUDA error has cost a worker its context."""
        spoiled, self._spoiled = self._spoiled, ""
        return spoiled

    def introduce(self) -> Introduction | None:
        """Ask a worker who it is; ``None`` from one that does not understand.

        Raises:
            MglubenchError: it cannot be started, or answers nothing of sense.
        """
        try:
            reply = self._ask("introduce", DESCRIBE_TIMEOUT)
            try:
                return Introduction.from_dict(reply)
            except ValueError:
                raise self._misfit("introduce") from None
        except CaseError as error:
            if error.status == Status.ERROR:
                return None
            name = f"{self._launch.name}: " if self._launch else ""
            raise MglubenchError(f"{name}{error}") from None

    def describe(self, devices: tuple[str, ...]) -> Machine:
        """Ask a worker about this machine; an error here concerns the whole sweep."""
        try:
            reply = self._ask("describe", DESCRIBE_TIMEOUT, devices=list(devices))
            try:
                return Machine.from_dict(reply)
            except (LookupError, TypeError, AttributeError, ValueError):
                raise self._misfit("describe") from None
        except CaseError as error:
            kind = UnavailableError if error.status == Status.UNAVAILABLE else MglubenchError
            raise kind(str(error)) from None

    def supply(self, case: Case) -> None:
        """Have the worker make what all workers of the run will share; one of older code has nothing to share."""
        with contextlib.suppress(CaseError):
            self._for_case(case, dict, "supply")

    def begin(self, step: Literal["prepare", "finish"], case: Case) -> None:
        """Send the request now; the call that asks for the same waits for the answer alone."""
        if step != "prepare" and case not in self._ready:
            return
        # A worker that cannot be sent anything fails again in that call.
        with contextlib.suppress(CaseError):
            self._send(self._start(), step, case=case.to_dict())
            self._ahead = step, case

    def ready(self) -> bool:
        """Whether the worker has answered what was begun, is gone, or has had its time."""
        if self._worker is None or self._ahead is None:
            return True
        return self._worker.heard(self._time_left(self._ahead[1]))

    def prepare(self, case: Case, offset: int = 0, *, non_finite: bool = False) -> Prepared:
        """Prepare in the current worker."""
        how = {"offset": offset, "non_finite": non_finite}
        prepared = self._for_case(case, Prepared, "prepare", **{name: value for name, value in how.items() if value})
        self._ready.add(case)
        return prepared

    def sample(self, case: Case, seconds: float, most: int) -> Block:
        """Sample; prepares again first if the worker was replaced since."""
        if case not in self._ready:
            self.prepare(case)
        return self._for_case(case, Block, "sample", seconds=seconds, most=most)

    def finish(self, case: Case) -> Finished:
        """Check again and release."""
        if case not in self._ready:
            self.prepare(case)
        finished = self._for_case(case, Finished, "finish")
        self._forget(case)
        return finished

    def abandon(self, case: Case) -> None:
        """Release without a check."""
        if self._worker is not None and case in self._ready:
            with contextlib.suppress(CaseError):
                self._for_case(case, dict, "abandon")
        self._forget(case)

    def renew(self) -> None:
        """End the worker; the next request starts another."""
        if self._worker is not None:
            self._worker.close()
            self._worker = self._ahead = None
        self._ready.clear()
        self._spent.clear()

    def beside(self) -> ChildSession:
        """Another worker, which writes into the same log; one that rests from an earlier set, if there is one."""
        if self._resting:
            return self._resting.pop()
        return ChildSession(self._log, self._case_timeout, self._kept, self._launch, self)

    def close(self) -> None:
        """End the worker, by force if it does not go."""
        if self._home is not None:
            self._rest(self._home)
            return
        for session in (*self._resting, self):
            if session._worker is not None:
                session._worker.dismiss()
        for session in (*self._resting, self):
            session.renew()
        self._resting.clear()
        self._keeper.close()
        if self._owns_log:
            self._kept.close()

    def _for_case(self, case: Case, made: Callable[..., T], request: str, **arguments: Any) -> T:
        start = time.monotonic()
        try:
            sent, self._ahead = self._ahead == (request, case), None
            reply = self._ask(request, self._time_left(case), sent=sent, case=case.to_dict(), **arguments)
            try:
                result = made(**reply)
            except TypeError:
                raise self._misfit(request) from None
        except CaseError as error:
            self._forget(case)
            if error.status == Status.TIMEOUT:
                raise CaseError(
                    Status.TIMEOUT, f"no answer to {request!r} within {self._case_timeout:g} s; killed"
                ) from None
            raise
        self._spent[case] = self._spent.get(case, 0.0) + time.monotonic() - start
        return result

    def _time_left(self, case: Case) -> float:
        return max(self._case_timeout - self._spent.get(case, 0.0), FINISH_GRACE)

    def _ask(self, request: str, timeout: float, *, sent: bool = False, **arguments: Any) -> Any:
        try:
            worker = self._start()
            if not sent:
                self._send(worker, request, **arguments)
            reply = worker.answer(timeout)
        except CaseError:
            self._lose_worker()
            raise
        self._keeper.take(worker.process, reply.get("made"))
        if reply.get("dying"):
            self._spoiled = plain(str(reply["error"]["reason"]))
            self._lose_worker()
        if error := reply.get("error"):
            raise CaseError(Status(str(error["status"])), plain(str(error["reason"])))
        return reply["ok"]

    def _send(self, worker: WorkerProcess, request: str, **arguments: object) -> None:
        where = {"shelf": there} if request in ("supply", "prepare") and (there := self._keeper.where()) else {}
        worker.send({"do": request, **arguments, **where})

    def _rest(self, home: ChildSession) -> None:
        """Hold no inputs any more, and wait for another set; a worker that was interrupted at work ends."""
        if self._worker is not None and self._worker.busy:
            self.renew()
        elif self._worker is not None:
            with contextlib.suppress(CaseError):
                self._ask("rest", REST_TIMEOUT)
        self._ready.clear()
        self._spent.clear()
        home._resting.append(self)

    def _start(self) -> WorkerProcess:
        if self._worker is None:
            self._worker = WorkerProcess(self._kept, self._launch)
            self.workers_started += 1
        return self._worker

    def _misfit(self, request: str) -> CaseError:
        self._lose_worker()
        return CaseError(Status.CRASH, f"the worker's reply to {request!r} does not fit")

    def _lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._worker = self._ahead = None
        self._ready.clear()
        # Whoever was prepared there starts anew: another case's crash is not charged to its time-out.
        self._spent.clear()

    def _forget(self, case: Case) -> None:
        self._ready.discard(case)
        self._spent.pop(case, None)
