"""JSON as mglubench writes it: no name twice in an object, no figure that is not a number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mglubench.system.files import open_file


def strict_loads(text: str | bytes) -> Any:
    """Plain values of a JSON document.

    Raises:
        ValueError: it is no JSON, is nested too deeply, has a name twice, or a figure that is infinite or no number.
    """
    words = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        return json.loads(words, object_pairs_hook=_once, parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def strict_load(path: Path) -> Any:
    """The same of a file; raises :class:`OSError`, too."""
    with open_file(path) as file:
        return strict_loads(file.read())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return found


def _refused(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is beyond all numbers")
    return value
