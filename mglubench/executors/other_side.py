"""The code of the other side of a comparison: a commit of this repository, or another Python's mglubench."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mglubench.errors import UsageError
from mglubench.executors.introduction import Launch
from mglubench.system.checkout import checked_out, commit_of, repository_of
from mglubench.system.resources import PACKAGE

# No import from the working directory, which holds this side's code.
_SAFE = ("-P",)


@contextmanager
def checkout_side(ref: str, here: Path) -> Iterator[Launch]:
    """Workers of a commit of the repository that ``here`` is in, checked out for as long as this is open.

    Whatever this process imports from the repository (mglubench itself, or a package that offers variants), they import
    from the checkout.

    Raises:
        UsageError: no repository, no such commit, or git fails.
    """
    repository = repository_of(here)
    commit = commit_of(repository, ref)
    with checked_out(repository, commit) as tree:
        own = tree / PACKAGE.name
        moved = [tree, *(tree / path for path in _inside(sys.path, repository))]
        elsewhere = [entry for entry in _search_path() if not Path(entry).resolve().is_relative_to(repository)]
        paths = [*(str(path) for path in dict.fromkeys(moved) if path.is_dir()), *elsewhere]
        package = str(own) if (own / "__init__.py").is_file() else ""
        env = {"PYTHONPATH": os.pathsep.join(paths)}
        yield Launch(sys.executable, _SAFE, env, f"--base-ref {ref}", package)


def python_side(python: str) -> Launch:
    """Workers of another Python, with the mglubench that is installed there.

    Raises:
        UsageError: there is no such program.
    """
    found = shutil.which(python)
    if found is None:
        raise UsageError(f"--base-python {python}: no such program; give the python of an environment with mglubench")
    # What makes this process find its own mglubench must not make the other find it.
    rest = [entry for entry in _search_path() if not (Path(entry) / PACKAGE.name).is_dir()]
    return Launch(str(Path(found).absolute()), _SAFE, {"PYTHONPATH": os.pathsep.join(rest)}, f"--base-python {python}")


def _search_path() -> list[str]:
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _inside(entries: list[str], repository: Path) -> Iterator[Path]:
    """Entries of a search path that lie in the repository, relative to it."""
    for entry in entries:
        path = Path(entry or ".").resolve()
        if path.is_relative_to(repository):
            yield path.relative_to(repository)
