"""The worker's process and the two pipes to it: a request out, a reply in, and a reason for whatever else happens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from typing import Any, TextIO

from mglubench.errors import CaseError
from mglubench.executors.introduction import Launch
from mglubench.status import Status
from mglubench.system.capped_log import CappedLog
from mglubench.system.plain_text import plain
from mglubench.system.process import Child, Pump

MODULE = "mglubench.executors.worker"
CLOSE_TIMEOUT = 5.0
# Between two looks at whether a silent worker is still alive.
LOOK_SECONDS = 1.0
# A reply holds the samples of one block and never comes near this.
LONGEST_REPLY = 1 << 26
LAST_WORDS = 4000

# What a worker says: ``ok`` with a result, or ``error`` with a status and a reason; see mglubench.executors.worker.
Reply = dict[str, Any]


class WorkerProcess:
    """One worker process (``python -m mglubench.executors.worker``).

    Args:
        log: gets what the worker prints. launch: of another Python or checkout than this process. module: that runs.
    """

    def __init__(self, log: CappedLog, launch: Launch | None = None, module: str = MODULE) -> None:
        self._log = log
        self._last = b""
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        pump = Pump(self._heard)
        how = launch or Launch()
        command = [how.python, *how.flags, "-m", module, str(request_read), str(reply_write)]
        try:
            # It asks for its own end with this process before it does anything else.
            descriptors = (request_read, reply_write)
            self._process = Child(command, pump.write_fd, env=how.env, pass_fds=descriptors, leash=False)
        except OSError as error:
            pump.drop()
            os.close(request_write)
            os.close(reply_read)
            raise CaseError(Status.CRASH, f"the worker cannot be started: {error.strerror or error}") from None
        finally:
            os.close(request_read)
            os.close(reply_write)
        pump.start()
        self._pump = pump
        self._requests: TextIO = os.fdopen(request_write, "w", encoding="utf-8")
        self._reply_fd = reply_read
        self._received = b""
        self._asked = 0
        self._busy = False
        # When the last request was sent, and of which case it is.
        self._sent = 0.0
        self._case: object = None
        # What processes that variants forked off the worker have said, by the case that they were of.
        self._strays: dict[str, str] = {}

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a request, whose reply :meth:`answer` waits for; raises ``crash``."""
        self._asked += 1
        self._busy = True
        self._sent, self._case = time.monotonic(), message.get("case")
        try:
            self._requests.write(json.dumps({**message, "id": self._asked}) + "\n")
            self._requests.flush()
        except OSError:
            raise self._died() from None

    def answer(self, timeout: float) -> Reply:
        """The reply to what was sent, so many seconds after that at the latest; raises ``timeout`` or ``crash``."""
        deadline = self._sent + timeout
        while True:
            reply = self._understood(self._line(deadline, timeout))
            if "stray" in reply:
                self._strays[json.dumps(reply["stray"])] = str(reply.get("reason"))
                continue
            self._busy = False
            if stray := self._strays.get(json.dumps(self._case)):
                raise CaseError(Status.CRASH, plain(stray))
            return reply

    def heard(self, timeout: float) -> bool:
        """Whether :meth:`answer` would come back at once, with a reply or with the reason why there is none."""
        late = time.monotonic() >= self._sent + timeout
        return late or self._process.ended() or bool(select.select([self._reply_fd], [], [], 0.0)[0])

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether it has been asked for something and has not answered."""
        return self._busy

    def kill(self) -> None:
        """Kill the worker and everything that it started (compilers, daemons)."""
        self._process.end()
        self._pump.drain()
        self._close_pipes()

    def dismiss(self) -> None:
        """Ask it to leave, by closing its input; :meth:`close` waits for that."""
        with contextlib.suppress(OSError):
            self._requests.close()

    def close(self) -> None:
        """Dismiss it; kill it if it stays, or was interrupted at work."""
        self.dismiss()
        self._process.end(0.0 if self._busy else CLOSE_TIMEOUT)
        self._pump.drain()
        self._close_pipes()

    def _line(self, deadline: float, timeout: float) -> bytes:
        while b"\n" not in self._received:
            # A process that the worker started may hold the pipe open after the worker is gone.
            gone = self._process.ended()
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
            if len(self._received) > LONGEST_REPLY:
                raise _misfit(self._received)
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _understood(self, line: bytes) -> Reply:
        """A reply to the request that is being asked, or a stray's; raises ``crash`` for anything else."""
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            raise _misfit(line) from None
        if not isinstance(reply, dict):
            raise _misfit(line)
        if "stray" in reply:
            return reply
        error = reply.get("error")
        told = isinstance(error, dict) and {"status", "reason"} <= error.keys()
        if reply.get("id") != self._asked or not ("ok" in reply or told):
            raise _misfit(line)
        return reply

    def _heard(self, data: bytes) -> None:
        self._last = (self._last + data)[-LAST_WORDS:]
        self._log.feed(data)

    def _close_pipes(self) -> None:
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(OSError):
            os.close(self._reply_fd)

    def _died(self) -> CaseError:
        if self._process.wait(CLOSE_TIMEOUT) is None:
            return CaseError(Status.CRASH, "the worker closed its pipe but did not exit")
        code = self._process.end()
        self._pump.drain()
        lines = [plain(line, 200) for line in self._last.decode(errors="replace").splitlines()]
        words = next(filter(None, reversed(lines)), "")
        said = f"; it said: {words}" if words else ""
        if code == -signal.SIGKILL:
            return CaseError(Status.CRASH, f"the worker was killed by SIGKILL, often the system out of memory{said}")
        if code < 0:
            return CaseError(Status.CRASH, f"the worker died of {_signal_name(-code)}{said}")
        return CaseError(Status.CRASH, f"the worker exited with code {code}{said}")


def _misfit(line: bytes) -> CaseError:
    shown = plain(line[:200].decode(errors="replace"), 60)
    return CaseError(Status.CRASH, f"the worker's reply does not fit the request: {shown!r}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
