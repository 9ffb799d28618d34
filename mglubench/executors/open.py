"""Opening a session by the name of its executor, with a place for what its workers print."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mglubench.cases.vocabulary import one_of
from mglubench.executors.session import Session
from mglubench.system.capped_log import CappedLog

EXECUTORS = ("child", "local", "fake")
LOG = "worker.log"


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and a function that ends it and keeps what its workers printed in a folder."""

    session: Session
    keep_log: Callable[[Path], None] = lambda folder: None


@contextmanager
def open_session(executor: str, case_timeout: float) -> Iterator[Opened]:
    """A session whose log is lost unless it is kept; closed at the end, whatever happens.

    Args:
        executor: one of :data:`EXECUTORS`. case_timeout: seconds that one case may take.

    Raises:
        UsageError: an unknown executor.
    """
    # A file without a name: whoever kills this process leaves none behind.
    with tempfile.TemporaryFile() as file:
        log = Path(f"/proc/self/fd/{file.fileno()}")
        session = make_session(executor, log, case_timeout)

        def keep_log(folder: Path) -> None:
            session.close()
            if content := log.read_bytes():
                kept = CappedLog(folder / LOG)
                kept.feed(content)
                kept.close()

        try:
            yield Opened(session, keep_log)
        finally:
            session.close()


def make_session(executor: str, log: Path, case_timeout: float, *, cuda: bool = False) -> Session:
    """A session by name; ``fake`` takes its faults from MGLUBENCH_FAKE_FAULTS (``variant=status,...``).

    Args:
        log: file for what the workers print. cuda: whether a fake session pretends that there is a GPU;
            MGLUBENCH_FAKE_CUDA makes it so too.
    """
    one_of(executor, EXECUTORS, "executor")
    if executor == "child":
        from mglubench.executors.child import ChildSession

        return ChildSession(log, case_timeout)
    if executor == "local":
        from mglubench.executors.local import LocalSession

        return LocalSession()
    from mglubench.executors.fake import FakeSession

    faults = [pair.partition("=") for pair in os.environ.get("MGLUBENCH_FAKE_FAULTS", "").split(",") if pair]
    cuda = cuda or "MGLUBENCH_FAKE_CUDA" in os.environ
    return FakeSession({name: status for name, _, status in faults}, cuda=cuda)
