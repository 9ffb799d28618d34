"""The one supervisor of child processes.

A child gets a session (and so a process group) of its own, dies with this process, and at its end, whatever brings it
about, takes along everything that it started: its group, its descendants, and what has left both by ``setsid`` or a
double fork. The last are found by a mark in their environment, which they inherit.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from mglubench.system.capped_log import CappedLog, Ends

MARK = "MGLUBENCH_STARTED_BY"
NOT_STARTED = 127
# A process that was killed is gone within this; what it has printed is read within the other.
GONE_SECONDS, DRAIN_SECONDS = 5.0, 1.0
# Of what a command prints for us to read, kept from its beginning.
CAPTURED = 1 << 24
_LEASH = Path(__file__).with_name("leash.py")
_serial = itertools.count()


class Child:
    """A running process with all that it starts.

    Args:
        command: program and arguments. output: descriptor that its standard output and errors go to; ``errors`` is one
            for errors alone. env: variables beside those of this process. pass_fds: descriptors that it inherits.
        leash: whether to make it die with this process; ``False`` for a program that sees to that itself.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        output: int,
        *,
        errors: int | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        leash: bool = True,
    ) -> None:
        variables = {**os.environ, **(env or {})}
        self._mark = new_mark()
        # A child of a child carries the marks of both.
        variables[MARK] = marked_environment(self._mark)
        if leash:
            _require(command[0], variables.get("PATH"))
            command = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if errors is None else errors,
            pass_fds=pass_fds,
            start_new_session=True,
            env=variables,
        )
        self.pid = self._process.pid

    def ended(self) -> bool:
        """Whether the process itself is over; what it started may still run."""
        return self._process.poll() is not None

    def wait(self, seconds: float) -> int | None:
        """Its exit code (``-SIGNAL`` if it died of one); ``None`` if it still runs after so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def end(self, grace: float = 0.0) -> int:
        """Wait so long for it to go by itself, then kill it and everything that it started; its exit code."""
        # Once it is gone, nothing tells whose children its children were.
        family = self._family()
        if grace:
            self.wait(grace)
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        kill_marked(self._mark)
        return code

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return psutil.Process(self.pid).children(recursive=True)
        return []


class Pump:
    """Hands what comes out of a pipe to a sink, in a thread of its own, so that a full pipe blocks nobody."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._read, self.write_fd = os.pipe()
        self._thread = threading.Thread(target=self._run, name="mglubench-pump", daemon=True)

    def start(self) -> None:
        """Begin; the writing end now belongs to the child alone."""
        os.close(self.write_fd)
        self._thread.start()

    def drop(self) -> None:
        """Give up before :meth:`start`: there is no child."""
        os.close(self.write_fd)
        os.close(self._read)

    def drain(self) -> None:
        """Wait until the writers are gone and all is handed over; not long, if something keeps the pipe open."""
        self._thread.join(DRAIN_SECONDS)

    def _run(self) -> None:
        try:
            while data := os.read(self._read, 1 << 16):
                self._sink(data)
        finally:
            os.close(self._read)


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: exit code; ``None`` if its time was up and it was killed. out, err: what it printed, the middle left out
            if that is much. started: whether it could be started at all.
    """

    code: int | None
    out: str
    err: str
    started: bool = True

    def said(self) -> str:
        """The last line of its errors, else of its output, shortened."""
        lines = [line.strip() for text in (self.out, self.err) for line in text.splitlines() if line.strip()]
        return lines[-1].removeprefix("error: ")[:300] if lines else "it said nothing"


def run_process(
    command: Sequence[str],
    timeout: float,
    *,
    log: Path | None = None,
    output: Path | None = None,
    capped: bool = True,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command to its end, or kill it after ``timeout`` seconds; what it started ends with it. Never raises.

    Args:
        log: file that gets the command, what it printed and its exit code, at the end. output: file that gets what it
            prints, as it comes, and nothing else; then the result holds none of it. capped: whether to leave out the
            middle of a very long output.
    """
    if output is None:
        return _captured(command, timeout, log, env)
    if not capped:
        with output.open("ab") as file:
            return _supervised(command, timeout, env, file.fileno(), None)
    kept = CappedLog(output)
    kept.feed(b"")
    pump = Pump(kept.feed)
    ended = _supervised(command, timeout, env, pump.write_fd, None, pump)
    kept.close()
    return ended


def _captured(command: Sequence[str], timeout: float, log: Path | None, env: Mapping[str, str] | None) -> Ended:
    out, err = Ends(CAPTURED), Ends(CAPTURED)
    pumps = (Pump(out.feed), Pump(err.feed))
    ended = _supervised(command, timeout, env, pumps[0].write_fd, pumps[1].write_fd, *pumps)
    if not ended.started:
        return ended
    ended = Ended(ended.code, out.text(), err.text())
    if log is not None:
        kept = CappedLog(log)
        kept.feed(f"$ {' '.join(command)}\n{ended.out}{ended.err}exit code {ended.code}\n".encode(errors="replace"))
        kept.close()
    return ended


def _supervised(
    command: Sequence[str],
    timeout: float,
    env: Mapping[str, str] | None,
    output: int,
    errors: int | None,
    *pumps: Pump,
) -> Ended:
    try:
        child = Child(command, output, errors=errors, env=env)
    except OSError as error:
        for pump in pumps:
            pump.drop()
        return Ended(NOT_STARTED, "", f"{command[0]} cannot be started: {error.strerror or error}", started=False)
    for pump in pumps:
        pump.start()
    code: int | None = None
    try:
        code = child.wait(timeout)
    finally:
        child.end()
        for pump in pumps:
            pump.drain()
    return Ended(code, "", "")


def new_mark() -> str:
    """A mark that no other process has given."""
    return f"{os.getpid()}.{time.time_ns()}.{next(_serial)}"


def marked_environment(mark: str) -> str:
    """What MARK must be in the environment of a process that is to carry this one; it keeps those of this process."""
    return ":".join(filter(None, (os.environ.get(MARK), mark)))


def kill_marked(mark: str) -> None:
    """Kill what carries the mark, until nothing does: a process that forks may be quicker than one look."""
    until = time.monotonic() + GONE_SECONDS
    while (left := marked(mark)) and time.monotonic() < until:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def marked(mark: str) -> list[int]:
    """Processes, other than this one, whose environment at their start held this mark."""
    words, found = mark.encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            # Other users' processes cannot be read, and those that have ended hold nothing.
            with suppress(OSError):
                if words in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


def _require(program: str, path: str | None) -> None:
    if shutil.which(program, path=path) is None:
        code = errno.EACCES if Path(program).exists() else errno.ENOENT
        raise OSError(code, os.strerror(code))
