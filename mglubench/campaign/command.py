"""A ``mglubench`` command in a process of its own; its result crosses by a file, never by what it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mglubench.system.process import Ended, run_process

PROGRAM = (sys.executable, "-m", "mglubench")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command.

    Attributes:
        ended: its exit code and its words. result: the JSON document that it published; ``None`` if there is none.
    """

    ended: Ended
    result: Any

    @property
    def timed_out(self) -> bool:
        """Whether it was killed when its time was up."""
        return self.ended.code is None


def ask(
    words: Sequence[str],
    timeout: float,
    log: Path,
    *,
    around: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Answer:
    """Run ``mglubench WORDS --out-json FILE``.

    Args:
        timeout: seconds after which it is killed. log: file that what it prints is appended to; no other command may
            have it at the same time. around: a program, with its arguments, that runs the command.
    """
    file = log.with_suffix(".result.json")
    file.unlink(missing_ok=True)
    command = (*around, *PROGRAM, *words, "--out-json", str(file))
    ended = run_process(command, timeout, log=log, env=env)
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        result = None
    file.unlink(missing_ok=True)
    return Answer(ended, result)
