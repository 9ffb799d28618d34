"""How a case can end: one vocabulary for what is measured, checked and profiled."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of a case; rows hold the word.

    A word that is not listed, which a third-party variant may have raised, reads as ``error``.
    """

    OK = "ok"
    # A profiler's figures, some of which are lacking; the reason says which, and why.
    PARTIAL = "partial"
    # What the case itself did.
    WRONG = "wrong"
    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    # What the machine or the variant cannot do.
    UNAVAILABLE = "unavailable"
    UNSUPPORTED = "unsupported"
    # What was tried, and did not fit the memory or the clock.
    OOM = "oom"
    UNSTABLE = "unstable"
    # Why a profiler that ran has no figures.
    NO_KERNEL = "no-kernel"
    NO_VALUE = "no-value"
    PERMISSION = "permission"
    BUSY = "busy"
    MIG = "mig"
    UNKNOWN_METRIC = "unknown-metric"
    GARBAGE = "garbage"

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        return cls.ERROR if isinstance(value, str) else None

    @property
    def counted(self) -> bool:
        """Whether a profiler's row has figures."""
        return self in (Status.OK, Status.PARTIAL)

    @property
    def defect(self) -> bool:
        """Whether it is somebody's mistake; absence and lack of memory are not."""
        return self in (Status.WRONG, Status.ERROR, Status.CRASH, Status.TIMEOUT)

    @property
    def absent(self) -> bool:
        """Whether the case cannot be had, here or anywhere."""
        return self in (Status.UNAVAILABLE, Status.UNSUPPORTED)
