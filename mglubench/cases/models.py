"""Feed-forward layers of published models, by the model's name.

Shapes, names and sources stand in ``sweeps/llms.toml``, one a line: ``"2048x8192",  # Llama-3.2-1B  meta-llama/...``.
"""

from __future__ import annotations

import re
from functools import cache

from mglubench.cases.vocabulary import one_of
from mglubench.system.resources import data_folder

_LINE = re.compile(r'^\s*"(\d+x\d+)",\s*#\s*(\S+)\s+(.*)$', re.MULTILINE)
_REPOSITORY = re.compile(r"[\w.-]+/([\w.-]+)")


def shape_of(model: str) -> str:
    """``HxD`` of a model by its name or its repository's, whatever the case.

    Raises:
        UsageError: a model that is not in the table, with the near matches.
    """
    known = _models()
    return known[one_of(model.strip().lower().rpartition("/")[2], known, "model")]


@cache
def _models() -> dict[str, str]:
    found = {}
    for shape, name, sources in _LINE.findall((data_folder("sweeps") / "llms.toml").read_text(encoding="utf-8")):
        found.update({known.lower(): shape for known in (name, *_REPOSITORY.findall(sources))})
    return found
