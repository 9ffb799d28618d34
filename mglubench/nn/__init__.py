"""The layer for people who train and serve it. Imported on first use: ``import mglubench.nn`` imports no torch.

* :class:`SwiMGLU`, :class:`GeMGLU`, :class:`ReMGLU` (:class:`MGLU` with an activation by name) and :class:`MGLUMLP` are
  modules to train; :func:`parameter_groups` sorts their parameters for an optimiser.
* :func:`export_packed` turns what was trained into :class:`PackedMGLU` layers, which serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglubench.nn.export import export_packed
    from mglubench.nn.optimiser_groups import parameter_groups
    from mglubench.nn.packed import PackedMGLU
    from mglubench.nn.swimglu import MGLU, MGLUMLP, GeMGLU, ReMGLU, SwiMGLU

__all__ = ["MGLU", "MGLUMLP", "GeMGLU", "PackedMGLU", "ReMGLU", "SwiMGLU", "export_packed", "parameter_groups"]

_HOMES = {
    "MGLU": "swimglu",
    "MGLUMLP": "swimglu",
    "GeMGLU": "swimglu",
    "PackedMGLU": "packed",
    "ReMGLU": "swimglu",
    "SwiMGLU": "swimglu",
    "export_packed": "export",
    "parameter_groups": "optimiser_groups",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mglubench.nn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"mglubench.nn.{_HOMES[name]}"), name)
