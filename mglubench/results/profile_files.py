"""Any file that a profiler left: which tool wrote it is told by its content, its name only helps with the advice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mglubench.errors import UsageError
from mglubench.hardware.counter_names import Kernel, by_key, keys_of
from mglubench.results.csv_text import decode, errors_of_tool, has_table
from mglubench.results.open_sqlite import MAGIC as SQLITE
from mglubench.results.read_ncu import read_csv
from mglubench.results.read_ncu_rep import MAGIC as NCU_REPORT
from mglubench.results.read_ncu_rep import read_report
from mglubench.results.read_nsys import read_nsys
from mglubench.results.timeline import Timeline

# What a report holds for one case.
Found = Sequence[Kernel] | Timeline

SNIFFED_BYTES = 1 << 20
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
_ADVICE = {
    ".nsys-rep": "export {0} first: nsys export --type sqlite {0}",
    ".qdrep": "export {0} first: nsys export --type sqlite {0} (it is older than .nsys-rep: if a new nsys refuses it, "
    "the one that recorded it will do it)",
    ".qdstrm": "import {0} first: QdstrmImporter -i {0}, then nsys export --type sqlite of what that makes",
    ".nvvp": "{0} is of nvprof, which knows none of these counters: profile with ncu or nsys",
    ".nvprof": "{0} is of nvprof, which knows none of these counters: profile with ncu or nsys",
    ".json": "{0} is a trace of another tool: profile with ncu or nsys",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What a report holds.

    Attributes:
        tool: ``ncu`` or ``nsys``, which wrote it. cases: its kernels or timelines by case key. why_empty: why there are
            no cases in it, in words that follow "the report"; empty if there are some. error: what the tool said went
            wrong while it was made; kernels may be missing then.
    """

    tool: str
    cases: Mapping[str, Found]
    why_empty: str = ""
    error: str = ""

    def why_no_case(self, key: str) -> str:
        """Why the report holds nothing of a case."""
        if self.why_empty:
            return f"the report {self.why_empty}"
        return f"the report holds no range of this case, only of others ({len(self.cases)})"

    def why_none_of(self, keys: Sequence[str]) -> str:
        """Why the report holds none of a run's cases, with the nearest one of them."""
        if self.why_empty:
            return f"the report {self.why_empty}"
        pairs = [(key, near[0]) for key in self.cases if (near := get_close_matches(key, keys, 1, 0.0))]
        seen = f"it has ranges of {len(self.cases)} other {'case' if len(self.cases) == 1 else 'cases'}"
        if not pairs:
            return seen
        theirs, ours = min(pairs, key=lambda pair: len(_differences(*pair)))
        return f"{seen}; nearest: {theirs} there, {ours} here ({', '.join(_differences(theirs, ours))})"


def _differences(theirs: str, ours: str) -> list[str]:
    """Parts of two keys that differ, as ``nm4 is nm8 here``."""
    one, other = theirs.split("/"), ours.split("/")
    if len(one) != len(other):
        return [f"{theirs} is {ours} here"]
    return [f"{a} is {b} here" for a, b in zip(one, other, strict=True) if a != b]


def read_profile(path: Path) -> Profile:
    """What a report holds by case key.

    Raises:
        UsageError: not a report that can be read. UnavailableError: it needs a package that is not installed.
    """
    if path.is_dir():
        raise UsageError(f"cannot read {path}: it is a folder; name the report in it")
    if not path.is_file():
        raise UsageError(f"cannot read {path}: there is no such file")
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if head.startswith(_PACKED):
        raise UsageError(f"{path} is compressed: unpack it first")
    if head.startswith(SQLITE):
        return _of_nsys(path)
    if head.startswith(NCU_REPORT):
        return _of_ncu(read_report(path))
    if path.suffix == ".csv" or has_table(decode(head)):
        return _of_ncu(read_csv(path), errors_of_tool(decode(path.read_bytes())))
    if path.suffix == ".sqlite":
        return _of_nsys(path)
    if path.suffix == ".ncu-rep":
        return _of_ncu(read_report(path))
    if path.suffix in _ADVICE:
        raise UsageError(_ADVICE[path.suffix].format(path.name))
    raise UsageError(f"cannot import {path.name!r}; use a file that ends in .ncu-rep, .csv or .sqlite")


def _of_nsys(path: Path) -> Profile:
    report = read_nsys(path)
    return Profile("nsys", report.cases, report.why_empty)


def _of_ncu(kernels: Sequence[Kernel], error: str = "") -> Profile:
    why = _why_no_case(kernels)
    return Profile("ncu", by_key(kernels), f"{why}; ncu said: {error}" if why and error else why, error)


def _why_no_case(kernels: Iterable[Kernel]) -> str:
    known = list(kernels)
    if not known:
        return "holds no kernel: ncu profiled none"
    if any(keys_of(kernel) for kernel in known):
        return ""
    if any(kernel.ranges for kernel in known):
        return f"holds {len(known)} kernels in ranges of mglubench, but none of a case: profile the whole case"
    return (
        f"holds {len(known)} kernels, none of them in a range of mglubench: profile with --nvtx, and a case that "
        "launches on the thread that opened its range"
    )
