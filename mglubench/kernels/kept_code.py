"""Machine code of the CPU kernels, kept between processes: Numba takes one to three seconds to compile a kernel.

It is kept under a hash of all that goes into it: the sources of the kernels, what one is specialised for, the types of
its arguments, the processor and its features, versions and settings of Numba. Each entry has files of its own that are
published by a rename, so that processes which compile the same kernel at once do no harm. The form is Numba's own
(``numba.core.caching``), and what cannot be read or written is compiled as if it had not been kept. The folder may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mglubench.kernels.cuda_build import cache_folder

FOLDER = "numba"
SOURCES = Path(__file__).parent
# Of a few ten kilobytes each, two for a kernel; beyond that the oldest are deleted.
MOST_FILES = 400
# Objects of Numba, which has no types.
Numba = Any


def keep_code(layer: Callable[..., None], *identity: object) -> Callable[..., None]:
    """``layer``, whose machine code is kept if it is a function that Numba compiles.

    Args:
        identity: tells the function from all others that these sources can make: its name, what it is specialised for.
    """
    with suppress(Exception):
        dispatcher: Numba = layer
        dispatcher._cache = _KeptCode(dispatcher._cache, cache_folder() / FOLDER, repr(identity))
    return layer


class _KeptCode:
    """What a Numba dispatcher asks for code before it compiles, and gives it to afterwards."""

    def __init__(self, former: Numba, folder: Path, identity: str) -> None:
        self.cache_path = str(folder)
        self.enable, self.disable, self.flush = former.enable, former.disable, former.flush
        self._identity = identity

    def load_overload(self, signature: Numba, context: Numba) -> Numba:
        """The compiled function for these types; ``None`` if it is not kept."""
        from numba.core import compiler

        rebuild: Numba = compiler.CompileResult._rebuild
        with suppress(Exception):
            # What the code refers to (Numba's run-time, its threads) is made known to the linker by this.
            context.refresh()
            kept = self._file(signature, context.codegen()).load(str(signature))
            return None if kept is None else rebuild(context, *kept)
        return None

    def save_overload(self, signature: Numba, compiled: Numba) -> None:
        """Keep a compiled function, unless it holds addresses of this process."""
        with suppress(Exception):
            if compiled.lifted or compiled.library.has_dynamic_globals:
                return
            Path(self.cache_path).mkdir(parents=True, exist_ok=True)
            file = self._file(signature, compiled.codegen)
            # It has no other entry; what cannot be read would not let itself be added to.
            file.flush()
            file.save(str(signature), compiled._reduce())
            _prune(Path(self.cache_path))

    def _file(self, signature: Numba, codegen: Numba) -> Numba:
        from numba.core import caching

        make: Numba = caching.IndexDataCacheFile
        parts = (self._identity, str(signature), repr(codegen.magic_tuple()), _toolchain())
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        return make(self.cache_path, name, name)


@cache
def _toolchain() -> str:
    """A hash of what compiles: the sources of all kernels, the interpreter, Numba, its settings."""
    import llvmlite
    import numba

    content = hashlib.sha256()
    sources = sorted(SOURCES.glob("*.py"))
    if not sources:
        raise FileNotFoundError(SOURCES)
    settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("NUMBA_"))
    for text in (sys.version, numba.__version__, llvmlite.__version__, *settings):
        content.update(text.encode() + b"\0")
    for path in sources:
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()


def _prune(folder: Path) -> None:
    """Delete the oldest files, those of former sources for the most part."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in files[: max(0, len(files) - MOST_FILES)]:
        path.unlink(missing_ok=True)
