"""Opening a session by the name of its executor, with a place for what its workers print."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mglubench.cases.vocabulary import one_of
from mglubench.errors import UsageError
from mglubench.executors.introduction import Introduction, Launch, why_cannot_talk
from mglubench.executors.session import Session
from mglubench.system.capped_log import CappedLog

EXECUTORS = ("child", "local", "fake")
LOG = "worker.log"


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and a function that ends it and keeps what its workers printed in a folder.

    Attributes:
        told: what workers of other code than this process's said of themselves.
    """

    session: Session
    keep_log: Callable[[Path], None] = lambda folder: None
    told: Introduction | None = None


@contextmanager
def open_session(executor: str, case_timeout: float, launch: Launch | None = None) -> Iterator[Opened]:
    """A session whose log is lost unless it is kept; closed at the end, whatever happens.

    Args:
        executor: one of :data:`EXECUTORS`. case_timeout: seconds that one case may take. launch: of workers of another
            Python or checkout, for ``child``; a fake session is then without the faults that the environment plants.

    Raises:
        UsageError: an unknown executor, or workers of other code that cannot be talked to.
    """
    # A file without a name: whoever kills this process leaves none behind.
    with tempfile.TemporaryFile() as file:
        log = Path(f"/proc/self/fd/{file.fileno()}")
        session = make_session(executor, log, case_timeout, launch=launch)

        def keep_log(folder: Path) -> None:
            session.close()
            if content := log.read_bytes():
                kept = CappedLog(folder / LOG)
                kept.feed(content)
                kept.close()

        try:
            yield Opened(session, keep_log, _introduced(session, launch) if launch else None)
        finally:
            session.close()


def _introduced(session: Session, launch: Launch) -> Introduction | None:
    from mglubench.executors.child import ChildSession

    if not isinstance(session, ChildSession):
        return None
    told = session.introduce()
    if why := why_cannot_talk(launch, told):
        raise UsageError(why)
    return told


def make_session(
    executor: str, log: Path, case_timeout: float, *, cuda: bool = False, launch: Launch | None = None
) -> Session:
    """A session by name.

    ``fake`` takes its faults from MGLUBENCH_FAKE_FAULTS (``variant=status,...``), and from MGLUBENCH_FAKE_SLOW how much
    slower variants are (``variant=1.1,...``).

    Args:
        log: file for what the workers print. cuda: whether a fake session pretends that there is a GPU;
            MGLUBENCH_FAKE_CUDA makes it so too. launch: as for :func:`open_session`.
    """
    one_of(executor, EXECUTORS, "executor")
    if executor == "child":
        from mglubench.executors.child import ChildSession

        return ChildSession(log, case_timeout, launch=launch)
    if executor == "local":
        from mglubench.executors.local import LocalSession

        return LocalSession()
    from mglubench.executors.fake import FakeSession

    faults = {} if launch else _planted("MGLUBENCH_FAKE_FAULTS")
    slow = {name: float(factor) for name, factor in ({} if launch else _planted("MGLUBENCH_FAKE_SLOW")).items()}
    return FakeSession(faults, cuda=cuda or "MGLUBENCH_FAKE_CUDA" in os.environ, slow=slow)


def _planted(variable: str) -> dict[str, str]:
    """``variant=value,...`` of the environment."""
    pairs = [pair.partition("=") for pair in os.environ.get(variable, "").split(",") if pair]
    return {name: value for name, _, value in pairs}
