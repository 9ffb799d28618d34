"""The one exception tree of mglubench.

Everything that a user can cause, or that a machine can lack, is raised as one of these. The command line prints such an
error as one line and exits with code 2; a sweep turns it into a row with a status and a reason.
"""

from __future__ import annotations

from mglubench.status import Status


class MglubenchError(Exception):
    """Base of all errors that mglubench raises on purpose: what failed, on which value, what to try."""


class UsageError(MglubenchError):
    """A value given by the user cannot be used (exit code 2, nothing written)."""


class ConfigError(UsageError):
    """A sweep file is broken or has an unknown key; the message names file, line and key."""


class StoreError(MglubenchError):
    """A run folder cannot be read, written, locked or resumed."""


class UnavailableError(MglubenchError):
    """A variant, mode, device or tool cannot be had on this machine; the message says what is missing."""


class BuildError(MglubenchError):
    """A kernel did not compile; the message holds the compiler's own first error and the file."""


class CaseError(MglubenchError):
    """One case could not be measured; the sweep records it and goes on.

    Attributes:
        status: machine-readable outcome; a word that is no :class:`~mglubench.status.Status` counts as ``error``.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = Status(status)
