"""The door of a child process: requests come in as JSON lines, replies go out as JSON lines.

Started as ``python -m mglubench.executors.worker REQUEST_FD REPLY_FD`` by :mod:`mglubench.executors.child`. Standard
output is left to the variants, and to profilers that write there.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TextIO

import psutil

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors.introduction import Introduction
from mglubench.executors.local import LocalSession
from mglubench.executors.session import Session
from mglubench.hardware.pages import ask_for_huge_pages
from mglubench.status import Status
from mglubench.system.plain_text import first_line, words_of
from mglubench.system.shelf import Shelf

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# How long a fork of this process may take to come to the end of the request that forked it.
FORK_SECONDS = 2.0


def serve(requests: int, replies: int, session: Session, shelf: Shelf | None = None) -> None:
    """Answer requests until the other side closes its pipe; the shelf is the session's."""
    forks, shelf = _Forks(), shelf or Shelf()
    with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(replies, "w", encoding="utf-8") as out:
        for line in lines:
            message = json.loads(line)
            shelf.offer(message.get("shelf", {}))
            reply = answer(message, session)
            if forks.is_one():
                forks.leave(out, message.get("case"))
            forks.wait()
            out.write(json.dumps({**reply, "id": message["id"], "made": shelf.made()}) + "\n")
            out.flush()
            if reply.get("dying"):
                break
    session.close()


class _Forks:
    """Processes that a variant forks off this one by mistake: they come back from the variant as a second worker.

    One that does says so instead of answering, and ends. The worker waits for that, so that its own reply comes after
    it; one that stays in the variant is nobody's business here, and is killed with the worker.
    """

    def __init__(self) -> None:
        self._born = os.getpid()
        self._forked = False
        os.register_at_fork(after_in_parent=self._notice)

    def _notice(self) -> None:
        self._forked = True

    def is_one(self) -> bool:
        """Whether this process is a fork."""
        return os.getpid() != self._born

    def leave(self, out: TextIO, case: Any) -> NoReturn:
        """End, as a fork, with a word for the other side."""
        reason = "the variant forked the worker, and both processes came back from it"
        with contextlib.suppress(OSError):
            out.write(json.dumps({"stray": case, "reason": reason}) + "\n")
            out.flush()
        os._exit(0)

    def wait(self) -> None:
        """Give the forks of this request time to come back; others that this process has started run other programs."""
        if not self._forked:
            return
        self._forked = False
        mine = Path("/proc/self/cmdline").read_bytes()
        until = time.monotonic() + FORK_SECONDS
        while time.monotonic() < until and any(_cmdline(child) == mine for child in psutil.Process().children()):
            time.sleep(0.01)


def _cmdline(process: psutil.Process) -> bytes:
    """The command line of a process as the system holds it; empty once it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    return b""


def answer(message: dict[str, Any], session: Session) -> dict[str, Any]:
    """One reply: ``{"ok": ...}``, or ``{"error": {...}}`` with ``dying`` if this process can no longer be used."""
    try:
        return {"ok": _dispatch(message, session)}
    except CaseError as error:
        reply: dict[str, Any] = {"error": {"status": error.status, "reason": words_of(error)}}
        if error.status == Status.ERROR and device_is_broken():
            reply["dying"] = True
        return reply
    except UnavailableError as error:
        return {"error": {"status": Status.UNAVAILABLE, "reason": words_of(error)}}
    except MglubenchError as error:
        return {"error": {"status": Status.ERROR, "reason": words_of(error)}}
    except Exception as error:
        return {"error": {"status": Status.ERROR, "reason": f"{type(error).__name__}: {first_line(error)}"}}


def _dispatch(message: dict[str, Any], session: Session) -> Any:
    request = message["do"]
    if request == "introduce":
        return Introduction.here().to_dict()
    if request == "describe":
        return session.describe(tuple(message["devices"])).to_dict()
    if request == "rest":
        session.close()
        return {}
    case = Case.from_dict(message["case"])
    if request == "prepare":
        how = {name: message[name] for name in ("offset", "non_finite") if name in message}
        return asdict(session.prepare(case, **how))
    if request == "sample":
        return asdict(session.sample(case, message["seconds"], message["most"]))
    if request == "finish":
        return asdict(session.finish(case))
    if request == "supply":
        session.supply(case)
        return {}
    if request == "abandon":
        session.abandon(case)
        return {}
    raise CaseError(Status.ERROR, f"unknown request {request!r}")


def device_is_broken() -> bool:
    """Whether a CUDA error has made this process's context unusable (an illegal access sticks for good)."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def leave_with_parent() -> None:
    """Die with the parent, and offer this process, not the parent, to the out-of-memory killer.

    What loses its own parent becomes a child of this process, so that it can be found.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def main() -> None:
    """Entry point of the child process."""
    leave_with_parent()
    ask_for_huge_pages()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shelf = Shelf()
    serve(int(sys.argv[1]), int(sys.argv[2]), LocalSession(shelf), shelf)


if __name__ == "__main__":
    main()
