"""A session in a process of its own, so that a crash, a hang or an out-of-memory kill costs one case and not the sweep.

The worker (``python -m mglubench.executors.worker``) is reused while it is healthy. When it dies or must be killed,
the case that it was working on fails with a reason, and the next request starts a new worker; cases that were prepared
in the old one are prepared again when their turn comes. Requests and replies are JSON lines over two pipes; what the
worker prints
goes to a log file, of which a crash report quotes the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors.machine import Machine
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.status import Status

DESCRIBE_TIMEOUT = 300.0
CLOSE_TIMEOUT = 5.0
FINISH_GRACE = 1.0
# Between two looks at whether a silent worker is still alive.
LOOK_SECONDS = 1.0


class ChildSession:
    """Runs cases in a worker process.

    Args:
        log: file that the worker's output is appended to. case_timeout: seconds that one case may spend in the worker.
    """

    def __init__(self, log: Path, case_timeout: float) -> None:
        self._log = log
        self._case_timeout = case_timeout
        self._worker: _Worker | None = None
        self._ready: set[Case] = set()
        self._spent: dict[Case, float] = {}
        self.workers_started = 0

    def describe(self, devices: tuple[str, ...]) -> Machine:
        """Ask a worker about this machine; an error here concerns the whole sweep."""
        try:
            return Machine.from_dict(self._ask("describe", DESCRIBE_TIMEOUT, devices=list(devices)))
        except CaseError as error:
            kind = UnavailableError if error.status == Status.UNAVAILABLE else MglubenchError
            raise kind(str(error)) from None

    def prepare(self, case: Case, offset: int = 0) -> Prepared:
        """Prepare in the current worker."""
        reply = self._for_case(case, "prepare", **({"offset": offset} if offset else {}))
        self._ready.add(case)
        return Prepared(**reply)

    def sample(self, case: Case, seconds: float, most: int) -> Block:
        """Sample; prepares again first if the worker was replaced since."""
        if case not in self._ready:
            self.prepare(case)
        return Block(**self._for_case(case, "sample", seconds=seconds, most=most))

    def finish(self, case: Case) -> Finished:
        """Check again and release."""
        if case not in self._ready:
            self.prepare(case)
        reply = self._for_case(case, "finish")
        self._forget(case)
        return Finished(**reply)

    def abandon(self, case: Case) -> None:
        """Release without a check."""
        if self._worker is not None and case in self._ready:
            with contextlib.suppress(CaseError):
                self._for_case(case, "abandon")
        self._forget(case)

    def close(self) -> None:
        """End the worker, by force if it does not go."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _for_case(self, case: Case, request: str, **arguments: Any) -> dict[str, Any]:
        left = self._case_timeout - self._spent.get(case, 0.0)
        start = time.monotonic()
        try:
            reply = self._ask(request, max(left, FINISH_GRACE), case=case.to_dict(), **arguments)
        except CaseError as error:
            self._forget(case)
            if error.status == Status.TIMEOUT:
                raise CaseError(
                    Status.TIMEOUT, f"no answer to {request!r} within {self._case_timeout:g} s; killed"
                ) from None
            raise
        self._spent[case] = self._spent.get(case, 0.0) + time.monotonic() - start
        return reply

    def _ask(self, request: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        if self._worker is None:
            self._worker = _Worker(self._log)
            self.workers_started += 1
        try:
            reply = self._worker.ask({"do": request, **arguments}, timeout)
        except CaseError:
            self._lose_worker()
            raise
        if reply.get("dying"):
            self._lose_worker()
        if "error" in reply:
            raise CaseError(reply["error"]["status"], reply["error"]["reason"])
        result: dict[str, Any] = reply["ok"]
        return result

    def _lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._worker = None
        self._ready.clear()
        # Whoever was prepared there starts anew: another case's crash is not charged to its time-out.
        self._spent.clear()

    def _forget(self, case: Case) -> None:
        self._ready.discard(case)
        self._spent.pop(case, None)


class _Worker:
    """One worker process and the two pipes to it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        self._log_start = log.stat().st_size if log.exists() else 0
        command = [sys.executable, "-m", "mglubench.executors.worker", str(request_read), str(reply_write)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(request_read, reply_write),
                start_new_session=True,
            )
        os.close(request_read)
        os.close(reply_write)
        self._requests: TextIO = os.fdopen(request_write, "w", encoding="utf-8")
        self._reply_fd = reply_read
        self._received = b""

    def ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send a request and wait for its reply; raises ``timeout`` or ``crash``."""
        deadline = time.monotonic() + timeout
        try:
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()
        except OSError:
            raise self._died() from None
        while b"\n" not in self._received:
            # A process that the worker started may hold the pipe open after the worker is gone.
            gone = self._process.poll() is not None
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._reply_fd], [], [], 0.0 if gone else min(left, LOOK_SECONDS))
            if not ready and gone:
                raise self._died()
            if not ready and left <= LOOK_SECONDS:
                raise CaseError(Status.TIMEOUT, f"no answer within {timeout:g} s")
            if not ready:
                continue
            chunk = os.read(self._reply_fd, 1 << 16)
            if not chunk:
                raise self._died()
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def kill(self) -> None:
        """Kill the worker and everything that it started (compilers)."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close_pipes()

    def close(self) -> None:
        """Ask it to leave by closing its input; kill it if it stays."""
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_TIMEOUT)
        self.kill()

    def _close_pipes(self) -> None:
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(OSError):
            os.close(self._reply_fd)

    def _died(self) -> CaseError:
        try:
            code = self._process.wait(CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            return CaseError(Status.CRASH, "the worker closed its pipe but did not exit")
        tail = self._log_tail()
        said = f"; it said: {tail}" if tail else ""
        if code == -signal.SIGKILL:
            return CaseError(Status.CRASH, f"the worker was killed by SIGKILL, often the system out of memory{said}")
        if code < 0:
            return CaseError(Status.CRASH, f"the worker died of {signal.Signals(-code).name}{said}")
        return CaseError(Status.CRASH, f"the worker exited with code {code}{said}")

    def _log_tail(self) -> str:
        try:
            text = self._log.read_bytes()[self._log_start :][-4000:].decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""
