"""Workers as processes of this machine: one a card, or one a share of the cores.

A thread for each waits for its replies. A worker dies with the thread that started it, so the thread lives as long.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mglubench.errors import CaseError
from mglubench.executors.introduction import Launch
from mglubench.executors.worker_process import Reply, WorkerProcess
from mglubench.fleet.messages import Answer, Event, Order, SeatPlan, Told
from mglubench.system.capped_log import CappedLog
from mglubench.system.plain_text import plain

MODULE = "mglubench.fleet.pipe_worker"
START_SECONDS = 300.0
END_SECONDS = 20.0
FOREVER = 1e9


class LocalTransport:
    """One worker process per seat.

    Args:
        plans: of the seats. log: file that gets what the workers print.
    """

    def __init__(self, plans: Sequence[SeatPlan], log: Path) -> None:
        self._plans = plans
        self._log = CappedLog(log)
        self._heard: queue.Queue[Event] = queue.Queue()
        self._workers: dict[str, _Worker] = {}

    def seats(self) -> int:
        return len(self._plans)

    def start(self, seat: int) -> str:
        name = f"{seat}.{len(self._workers)}"
        self._workers[name] = _Worker(name, self._plans[seat], self._log, self._heard)
        return name

    def send(self, worker: str, order: Order) -> None:
        self._workers[worker].orders.put({"do": "measure", "order": msgspec.to_builtins(order)})

    def events(self, seconds: float) -> Sequence[Event]:
        found: list[Event] = []
        with suppress(queue.Empty):
            found.append(self._heard.get(timeout=seconds))
            while True:
                found.append(self._heard.get_nowait())
        return [event for event in found if not self._workers[event.worker].killed]

    def kill(self, worker: str) -> None:
        self._workers[worker].kill()

    def close(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            worker.thread.join(END_SECONDS)
        self._log.close()


class _Worker:
    """A worker process and the thread that talks to it."""

    def __init__(self, name: str, plan: SeatPlan, log: CappedLog, heard: queue.Queue[Event]) -> None:
        self.orders: queue.Queue[dict[str, object] | None] = queue.Queue()
        self.killed = False
        self._name, self._plan, self._log, self._heard = name, plan, log, heard
        self._pid = 0
        self.thread = threading.Thread(target=self._run, name=f"mglubench-fleet-{name}", daemon=True)
        self.thread.start()

    def kill(self) -> None:
        self.killed = True
        self.orders.put(None)
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _run(self) -> None:
        process: WorkerProcess | None = None
        try:
            process = WorkerProcess(self._log, Launch(env=self._plan.env), MODULE)
            self._pid = process.process
            how = msgspec.to_builtins(self._plan.how)
            process.send({"do": "introduce", "how": how})
            self._heard.put(Event(self._name, told=msgspec.convert(_ok(process.answer(START_SECONDS)), Told)))
            while (order := self.orders.get()) is not None:
                process.send(order)
                self._heard.put(Event(self._name, answer=msgspec.convert(_ok(process.answer(FOREVER)), Answer)))
        except CaseError as error:
            self._heard.put(Event(self._name, reason=str(error)))
        except ValueError as error:
            self._heard.put(Event(self._name, reason=f"its reply does not fit: {error}"))
        finally:
            # All that it started goes with it.
            if process is not None:
                process.kill()


def _ok(reply: Reply) -> object:
    """What was asked for; raises CaseError where the worker says why there is none."""
    if error := reply.get("error"):
        raise CaseError(str(error["status"]), plain(str(error["reason"])))
    return reply["ok"]
