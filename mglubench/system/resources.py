"""Where files are: those that travel with the package (inside it when installed from a wheel, beside it in a checkout),
and a user's runs.
"""

from __future__ import annotations

from pathlib import Path

# Below the working directory.
RUNS_FOLDER = Path("runs")
PACKAGE = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """Folder ``name`` (``sweeps`` or ``kernels_cuda``) of this installation."""
    packaged = PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else PACKAGE.parent / name
