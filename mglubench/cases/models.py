"""Feed-forward layers of published models, by the model's name.

Shapes, names, numbers of layers and sources stand in ``sweeps/llms.toml``, one model a line:
``"2048x8192",  # Llama-3.2-1B  16 layers  meta-llama/...``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from mglubench.cases.vocabulary import one_of
from mglubench.system.resources import data_folder

_LINE = re.compile(r'^\s*"(\d+x\d+)",\s*#\s*(\S+)\s+(\d+) layers\s+(.*)$', re.MULTILINE)
_REPOSITORY = re.compile(r"[\w.-]+/([\w.-]+)")


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the file: ``shape`` as ``HxD``, ``layers`` feed-forward blocks of it, one after the other."""

    shape: str
    name: str
    layers: int


def shape_of(model: str) -> str:
    """``HxD`` of a model by its name or its repository's, whatever the case.

    Raises:
        UsageError: a model that is not in the table, with the near matches.
    """
    known = _models()
    return known[one_of(model.strip().lower().rpartition("/")[2], known, "model")].shape


def models_of(h: int, d: int) -> list[Model]:
    """The models whose layers have this shape."""
    return [model for model in dict.fromkeys(_models().values()) if model.shape == f"{h}x{d}"]


@cache
def _models() -> dict[str, Model]:
    found = {}
    for shape, name, layers, sources in _LINE.findall((data_folder("sweeps") / "llms.toml").read_text("utf-8")):
        model = Model(shape, name, int(layers))
        found.update({known.lower(): model for known in (name, *_REPOSITORY.findall(sources))})
    return found
