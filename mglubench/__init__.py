"""mglubench: microbenchmarks for gated feed-forward layers, SwiGLU against the Masked Gated Linear Unit (MGLU).

The public surface of the package:

* :func:`sweep` measures, as the ``mglubench sweep`` command does, and returns the run that it stored; :func:`run`
  measures one case, :func:`bench` a plain function beside variants;
* :func:`load` reads a stored run into a pandas DataFrame with its speed-ups, :func:`derive` takes them anew;
* :func:`tables` are the tables of a run, :func:`plot` and :func:`roofline` its pictures, as matplotlib figures;
* :func:`compare` holds stored runs against each other, as ``mglubench compare`` does: a :class:`Comparison`;
* :func:`predict` estimates what a GPU that is not here could reach at best;
* :func:`flash_mglu`, :func:`pack_weight` and :class:`PackedWeight` are the layer as a torch operator;
* :class:`Variant`, :class:`Problem`, :class:`Case`, :class:`Ledger` and :func:`declare` are what a third-party variant
  is made of; it says what is missing or failed by :class:`UnavailableError` and :class:`MglubenchError`;
* :func:`pack` and :func:`unpack` convert masks to the bit layouts that the kernels read.

Modules to train are in :mod:`mglubench.nn`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mglubench.former_paths import FormerPaths

if TYPE_CHECKING:
    from mglubench.cases.case import Case
    from mglubench.errors import MglubenchError, UnavailableError
    from mglubench.layer.declared import Ledger, declare
    from mglubench.layer.masks import pack, unpack
    from mglubench.layer.problem import Problem
    from mglubench.nn.functional import PackedWeight, flash_mglu, pack_weight
    from mglubench.report.from_python import plot, predict, roofline, tables
    from mglubench.results.compare import compare
    from mglubench.results.load_run import load
    from mglubench.results.metrics import derive
    from mglubench.results.run_comparison import Comparison
    from mglubench.runner.single import bench, run
    from mglubench.runner.sweep import sweep
    from mglubench.variants.base import Variant

__all__ = [
    "Case",
    "Comparison",
    "Ledger",
    "MglubenchError",
    "PackedWeight",
    "Problem",
    "UnavailableError",
    "Variant",
    "bench",
    "compare",
    "declare",
    "derive",
    "flash_mglu",
    "load",
    "pack",
    "pack_weight",
    "plot",
    "predict",
    "roofline",
    "run",
    "sweep",
    "tables",
    "unpack",
]

_HOMES = {
    "Case": "mglubench.cases.case",
    "Comparison": "mglubench.results.run_comparison",
    "Ledger": "mglubench.layer.declared",
    "MglubenchError": "mglubench.errors",
    "PackedWeight": "mglubench.nn.functional",
    "Problem": "mglubench.layer.problem",
    "UnavailableError": "mglubench.errors",
    "Variant": "mglubench.variants.base",
    "bench": "mglubench.runner.single",
    "compare": "mglubench.results.compare",
    "declare": "mglubench.layer.declared",
    "derive": "mglubench.results.metrics",
    "flash_mglu": "mglubench.nn.functional",
    "load": "mglubench.results.load_run",
    "pack": "mglubench.layer.masks",
    "pack_weight": "mglubench.nn.functional",
    "plot": "mglubench.report.from_python",
    "predict": "mglubench.report.from_python",
    "roofline": "mglubench.report.from_python",
    "run": "mglubench.runner.single",
    "sweep": "mglubench.runner.sweep",
    "tables": "mglubench.report.from_python",
    "unpack": "mglubench.layer.masks",
}

sys.meta_path.append(FormerPaths())


def __getattr__(name: str) -> Any:
    """Import on first use: ``import mglubench`` stays instant."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mglubench")
    if name not in _HOMES:
        raise AttributeError(f"module 'mglubench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
