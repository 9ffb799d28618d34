"""Paths of before: ``from mglubench.spec.ledger import declare`` in somebody's variant finds the module of today.

A finder that is asked only for what no other one finds; it costs nothing until then, and says what to write instead.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

# Only what the contract of a variant and the operator were written with.
HOMES = {
    "mglubench.ops": "mglubench.nn.functional",
    "mglubench.spec": "",
    "mglubench.spec.case": "mglubench.cases.case",
    "mglubench.spec.ledger": "mglubench.layer.declared",
    "mglubench.spec.packing": "mglubench.layer.masks",
    "mglubench.spec.problem": "mglubench.layer.problem",
    "mglubench.spec.tolerance": "mglubench.layer.tolerance",
    "mglubench.spec.vocabulary": "mglubench.cases.vocabulary",
}


class FormerPaths:
    """Leads a path of :data:`HOMES` to the module that holds it now: the same object, no copy."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a path of before leads; ``None`` for any other path."""
        if fullname not in HOMES:
            return None
        if home := HOMES[fullname]:
            warnings.warn(f"{fullname} is {home} now", DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, cast("Loader", self), is_package=not home)

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the empty one; a package of before stays empty."""
        if home := HOMES[module.__name__]:
            sys.modules[module.__name__] = import_module(home)
