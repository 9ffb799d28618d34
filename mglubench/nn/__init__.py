"""The layer for people who train and serve it. Imported on first use: ``import mglubench.nn`` imports no torch.

* :class:`SwiMGLU`, :class:`GeMGLU`, :class:`ReMGLU` (:class:`MGLU` with an activation by name) and :class:`MGLUMLP` are
  modules to train; :func:`parameter_groups` sorts their parameters for an optimiser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglubench.nn.optimiser_groups import parameter_groups
    from mglubench.nn.swimglu import MGLU, MGLUMLP, GeMGLU, ReMGLU, SwiMGLU

__all__ = ["MGLU", "MGLUMLP", "GeMGLU", "ReMGLU", "SwiMGLU", "parameter_groups"]

_HOMES = {
    "MGLU": "swimglu",
    "MGLUMLP": "swimglu",
    "GeMGLU": "swimglu",
    "ReMGLU": "swimglu",
    "SwiMGLU": "swimglu",
    "parameter_groups": "optimiser_groups",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mglubench.nn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"mglubench.nn.{_HOMES[name]}"), name)
