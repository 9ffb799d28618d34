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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors.local import LocalSession
from mglubench.executors.session import Session
from mglubench.status import Status

PR_SET_PDEATHSIG = 1


def serve(requests: int, replies: int, session: Session) -> None:
    """Answer requests until the other side closes its pipe."""
    with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(replies, "w", encoding="utf-8") as out:
        for line in lines:
            reply = answer(json.loads(line), session)
            out.write(json.dumps(reply) + "\n")
            out.flush()
            if reply.get("dying"):
                break
    session.close()


def answer(message: dict[str, Any], session: Session) -> dict[str, Any]:
    """One reply: ``{"ok": ...}``, or ``{"error": {...}}`` with ``dying`` if this process can no longer be used."""
    try:
        return {"ok": _dispatch(message, session)}
    except CaseError as error:
        reply: dict[str, Any] = {"error": {"status": error.status, "reason": str(error)}}
        if error.status == Status.ERROR and device_is_broken():
            reply["dying"] = True
        return reply
    except UnavailableError as error:
        return {"error": {"status": Status.UNAVAILABLE, "reason": str(error)}}
    except MglubenchError as error:
        return {"error": {"status": Status.ERROR, "reason": str(error)}}


def _dispatch(message: dict[str, Any], session: Session) -> Any:
    request = message["do"]
    if request == "describe":
        return session.describe(tuple(message["devices"])).to_dict()
    case = Case.from_dict(message["case"])
    if request == "prepare":
        return asdict(session.prepare(case, **({"offset": message["offset"]} if "offset" in message else {})))
    if request == "sample":
        return asdict(session.sample(case, message["seconds"], message["most"]))
    if request == "finish":
        return asdict(session.finish(case))
    if request == "abandon":
        return session.abandon(case)
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
    """Die with the parent, and offer this process, not the parent, to the out-of-memory killer."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def main() -> None:
    """Entry point of the child process."""
    leave_with_parent()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(int(sys.argv[1]), int(sys.argv[2]), LocalSession())


if __name__ == "__main__":
    main()
