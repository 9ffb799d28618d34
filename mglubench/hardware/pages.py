"""Which pages the weights lie on: huge ones, where the system lets a process ask for them.

On small pages a pass over a weight matrix misses the translation buffer every few rows, and which pages a process was
given differs from one process to the next; both cost a fast layer more than a slow one. NumPy asks for huge pages for
large arrays and torch does not unless told, so that two layers of one comparison would lie on different pages. Workers
tell torch, for all layers alike; ``THP_MEM_ALLOC_ENABLE=0`` in the environment leaves them as torch would have them.
"""

from __future__ import annotations

import os
from pathlib import Path

from mglubench.system.sealed import ASKS_FOR_HUGE_PAGES

VARIABLE = ASKS_FOR_HUGE_PAGES
_SYSTEM = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ask_for_huge_pages() -> None:
    """For what torch allocates in this process; before its first allocation, and unless the user has chosen."""
    os.environ.setdefault(VARIABLE, "1")


def pages_in_words(system: Path = _SYSTEM) -> str | None:
    """``huge`` or ``small``, of large tensors in this process; ``None`` where the system does not tell."""
    try:
        chosen = system.read_text(encoding="utf-8").partition("[")[2].partition("]")[0]
    except (OSError, UnicodeDecodeError):
        return None
    asked = os.environ.get(VARIABLE) == "1"
    return {"always": "huge", "madvise": "huge" if asked else "small", "never": "small"}.get(chosen)
