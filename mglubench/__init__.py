"""mglubench: microbenchmarks for gated feed-forward layers, SwiGLU against the Masked Gated Linear Unit (MGLU).

The public surface of the package:

* :func:`load` reads a stored run into a pandas DataFrame;
* :func:`flash_mglu` and :func:`pack_weight` are the layer as a torch operator;
* :class:`Variant`, :class:`Problem` and :class:`Case` are what a third-party variant is made of;
* :func:`pack` and :func:`unpack` convert masks to the bit layouts that the kernels read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mglubench.cases.case import Case
    from mglubench.layer.masks import pack, unpack
    from mglubench.layer.problem import Problem
    from mglubench.nn.functional import flash_mglu, pack_weight
    from mglubench.results.frame import load
    from mglubench.variants.base import Variant

__all__ = ["Case", "Problem", "Variant", "flash_mglu", "load", "pack", "pack_weight", "unpack"]

_HOMES = {
    "Case": "mglubench.cases.case",
    "Problem": "mglubench.layer.problem",
    "Variant": "mglubench.variants.base",
    "flash_mglu": "mglubench.nn.functional",
    "load": "mglubench.results.frame",
    "pack": "mglubench.layer.masks",
    "pack_weight": "mglubench.nn.functional",
    "unpack": "mglubench.layer.masks",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import mglubench`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mglubench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
