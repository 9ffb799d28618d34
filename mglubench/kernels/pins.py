"""Pinned inspections: what the compiler made of every kernel when somebody looked on purpose.

A pin file is JSON, ``{"format": 1, "rows": [...]}``, with rows of :func:`mglubench.kernels.inspect.examine` that are
ok. A kernel is known by its variant, name, architecture, nm and dtype, and pinned per version of the compiler; a file
may hold pins of several versions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from mglubench.errors import StoreError, UsageError
from mglubench.kernels.inspect import InspectRow, Subject
from mglubench.system.files import publish
from mglubench.system.lines import reason_of
from mglubench.system.strict_json import strict_load

FORMAT = 1
# Bytes per lane of the main loop's loads; those of less than 4 bytes are counted together.
_LOADS = {"loads_16": 16, "loads_8": 8, "loads_4": 4, "loads_less": 2}
_WORDS = ("variant", "kernel", "arch", "dtype", "compiler")


class KernelKey(NamedTuple):
    """A compiled kernel."""

    variant: str
    kernel: str
    arch: str
    nm: int
    dtype: str

    @classmethod
    def of(cls, row: InspectRow) -> Self:
        """Of a row that is ok."""
        variant, kernel, arch, dtype = (str(row[name]) for name in ("variant", "kernel", "arch", "dtype"))
        return cls(variant, kernel, arch, int(row["nm"]), dtype)

    @property
    def subject(self) -> Subject:
        """What has to be compiled for it."""
        return Subject(self.variant, self.arch, self.nm, self.dtype)


@dataclass(frozen=True, slots=True)
class Pins:
    """A pin file, read.

    Attributes:
        rows: by kernel, then by version of the compiler.
    """

    rows: Mapping[KernelKey, Mapping[str, InspectRow]]

    @property
    def archs(self) -> list[str]:
        """Architectures with a pin, in the order of the file."""
        return list(dict.fromkeys(key.arch for key in self.rows))

    @property
    def nms(self) -> list[int]:
        """Numbers of masks with a pin."""
        return sorted({key.nm for key in self.rows} - {0}) or [1]

    @property
    def dtypes(self) -> list[str]:
        """Dtypes with a pin."""
        return list(dict.fromkeys(key.dtype for key in self.rows))


def facts_of(row: InspectRow, names: Collection[str]) -> dict[str, float]:
    """The facts of these names that a row has; ``load_bytes`` is the mean width of the main loop's global loads."""
    found = {name: float(row[name]) for name in names if isinstance(row.get(name), int | float)}
    counts = {name: float(row.get(name, 0)) for name in _LOADS}
    if total := sum(counts.values()):
        found["load_bytes"] = sum(count * _LOADS[name] for name, count in counts.items()) / total
    return found


def read_pins(path: Path) -> Pins:
    """A pin file.

    Raises:
        UsageError: there is none. StoreError: it is damaged, from a newer version, or pins nothing.
    """
    try:
        values = strict_load(path)
        found = values.get("format") if isinstance(values, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise StoreError(f"{path} has format {found}, this mglubench reads up to {FORMAT}; upgrade mglubench")
        if found != FORMAT:
            raise ValueError("it was not made by `mglubench inspect --save`")
        pins = Pins(_by_kernel(msgspec.convert(values.get("rows"), list[dict[str, bool | int | float | str]])))
    except FileNotFoundError:
        raise UsageError(f"there are no pins in {path}; `mglubench inspect --save {path}` makes them") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}") from None
    except ValueError as error:
        raise StoreError(f"{path} holds no pins: {error}") from None
    if not pins.rows:
        raise StoreError(f"{path} pins nothing; make it again with `mglubench inspect --save {path} --force`")
    return pins


def why_not_pinned_there(path: Path, *, force: bool) -> str | None:
    """Why pins cannot be saved to ``path``, in one line; ``None`` if they can."""
    if path.is_dir() or not path.parent.is_dir():
        return f"{path} cannot be written: {'it is a folder' if path.is_dir() else f'{path.parent} is no folder'}"
    if path.exists() and not force:
        return f"{path} is there already; --force pins it anew"
    return None


def save_pins(path: Path, rows: Sequence[InspectRow]) -> None:
    """Publish rows as pins; those that are not ok have no place there.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = ",\n".join(json.dumps(row) for row in rows)
    try:
        publish(path, f'{{"format": {FORMAT}, "rows": [\n{lines}\n]}}\n')
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason_of(error)}") from None


def _by_kernel(rows: Iterable[InspectRow]) -> dict[KernelKey, dict[str, InspectRow]]:
    found: dict[KernelKey, dict[str, InspectRow]] = {}
    for place, row in enumerate(rows, 1):
        wrong = [name for name in _WORDS if not isinstance(row.get(name), str)]
        if wrong or not isinstance(row.get("nm"), int):
            raise ValueError(f"row {place} has no {', '.join(wrong) or 'nm'}")
        compiler, key = str(row["compiler"]), KernelKey.of(row)
        if compiler in found.setdefault(key, {}):
            raise ValueError(f"row {place} pins {key.kernel} of {key.variant} a second time")
        found[key][compiler] = row
    return found
