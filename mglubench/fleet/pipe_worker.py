"""A fleet's worker at the end of two pipes: requests come in as JSON lines, replies go out as JSON lines.

Started as ``python -m mglubench.fleet.pipe_worker REQUEST_FD REPLY_FD`` by
:mod:`mglubench.fleet.local_transport`.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import msgspec

from mglubench.errors import MglubenchError
from mglubench.executors.worker import leave_with_parent
from mglubench.fleet.fleet_worker import FleetWorker
from mglubench.fleet.messages import HowToWork
from mglubench.status import Status
from mglubench.system.plain_text import words_of


def main() -> None:
    """Entry point of the child process."""
    leave_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker: FleetWorker | None = None
    with os.fdopen(int(sys.argv[1]), encoding="utf-8") as lines, os.fdopen(int(sys.argv[2]), "w") as out:
        for line in lines:
            message = json.loads(line)
            try:
                worker = worker or FleetWorker(msgspec.convert(message["how"], HowToWork))
                reply: dict[str, object] = {"ok": _answered(worker, message)}
            except MglubenchError as error:
                reply = {"error": {"status": Status.UNAVAILABLE, "reason": words_of(error)}}
            out.write(json.dumps({**reply, "id": message["id"]}) + "\n")
            out.flush()
    if worker:
        worker.close()


def _answered(worker: FleetWorker, message: dict[str, object]) -> dict[str, object]:
    return worker.introduce() if message["do"] == "introduce" else worker.measure(message["order"])


if __name__ == "__main__":
    main()
