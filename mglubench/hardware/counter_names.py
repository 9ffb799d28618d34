"""Hardware counters: what they are called on each chip, in which unit, and how several kernels of one case add up.

Names were read from NVIDIA's own metric database (``ncu --query-metrics --chip ...``). Data-centre chips and consumer
chips up to Ada share one set; consumer Blackwell (compute capability 12.x) renamed the DRAM counters and dropped the
old names. A sum over kernels is exact for bytes and time; a percentage of a case is the mean of its kernels' shares,
weighted by their time. A counter that one kernel of a case lacks is missing for the case: half a sum is no sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

# Every case runs inside a push/pop range of this domain whose name is the case key; phases are ranges nested in it.
DOMAIN = "mglubench"
TIMED = "timed"
SECTOR_BYTES = 32

Rule = Literal["sum", "time-weighted"]
Dialect = Literal["classic", "op"]

# Chips whose names were looked up; another chip gets the dialect of its architecture and is checked before the run.
DIALECTS: dict[str, Dialect] = {
    "8.0": "classic",
    "8.6": "classic",
    "8.7": "classic",
    "8.9": "classic",
    "9.0": "classic",
    "10.0": "classic",
    "10.3": "classic",
    "12.0": "op",
    "12.1": "op",
}
FIRST_OP_MAJOR = 12


@dataclass(frozen=True, slots=True)
class Counter:
    """One stored figure.

    Attributes:
        column: its name in rows and frames, unit included. classic, op: what Nsight Compute calls it, by dialect.
        scale: factor from Nsight Compute's base unit. rule: how the kernels of a case combine.
    """

    column: str
    classic: str
    op: str = ""
    scale: float = 1.0
    rule: Rule = "sum"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which a report may hold it."""
        return (self.classic, self.op) if self.op else (self.classic,)

    def name(self, dialect: Dialect) -> str:
        """Its name on a chip of this dialect."""
        return self.op if dialect == "op" and self.op else self.classic


DURATION = Counter("ncu_duration_us", "gpu__time_duration.sum", scale=1e-3)
COUNTERS = (
    Counter("dram_bytes_read", "dram__bytes_read.sum", "dram__bytes_op_read.sum"),
    Counter("dram_bytes_written", "dram__bytes_write.sum", "dram__bytes_op_write.sum"),
    Counter("l2_bytes_read", "lts__t_sectors_op_read.sum", scale=SECTOR_BYTES),
    Counter("l2_bytes_written", "lts__t_sectors_op_write.sum", scale=SECTOR_BYTES),
    Counter("l2_hit_percent", "lts__t_sector_hit_rate.pct", rule="time-weighted"),
    Counter("dram_percent", "dram__throughput.avg.pct_of_peak_sustained_elapsed", rule="time-weighted"),
    Counter("sm_percent", "sm__throughput.avg.pct_of_peak_sustained_elapsed", rule="time-weighted"),
    DURATION,
)
COLUMNS = tuple(counter.column for counter in COUNTERS)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One profiled kernel launch.

    Attributes:
        ranges: names of the ranges of our domain that it ran in. metrics: values in base units (bytes, ns, sectors, %).
        blank: metrics that the report lists for it without a value (``n/a``, ``nan``, an empty cell).
    """

    name: str
    ranges: frozenset[str]
    metrics: dict[str, float] = field(default_factory=dict)
    blank: frozenset[str] = frozenset()


def dialect_of(capability: str | None) -> Dialect:
    """Which names a chip of this compute capability (``"9.0"``) uses; unknown ones go by their major version."""
    if capability in DIALECTS:
        return DIALECTS[capability]
    major = (capability or "0").partition(".")[0]
    return "op" if major.isdigit() and int(major) >= FIRST_OP_MAJOR else "classic"


def metric_names(capability: str | None, known: Iterable[str] = ()) -> list[str]:
    """What to ask Nsight Compute for.

    Args:
        capability: of the device. known: base names that this Nsight Compute lists for the device (``dram__bytes_read``
            for ``dram__bytes_read.sum``); where it lists a counter's other name alone, that one is taken. Empty if it
            was not asked.
    """
    dialect, listed = dialect_of(capability), set(known)
    names = []
    for counter in COUNTERS:
        wanted = counter.name(dialect)
        others = [name for name in counter.names if base_name(name) in listed]
        names.append(others[0] if base_name(wanted) not in listed and others else wanted)
    return names


def base_name(metric: str) -> str:
    """``dram__bytes_read`` of ``dram__bytes_read.sum``."""
    return metric.partition(".")[0]


def combine(kernels: Sequence[Kernel], launches: int = 1) -> dict[str, float | None]:
    """The counters of one launch of a case from all kernels of so many launches, by each counter's rule.

    A counter that some kernel lacks is ``None``.
    """
    times = [_value(kernel, DURATION) for kernel in kernels]
    combined = {counter: _combined(counter, kernels, times) for counter in COUNTERS}
    return {
        counter.column: value / launches if value is not None and counter.rule == "sum" else value
        for counter, value in combined.items()
    }


def _combined(counter: Counter, kernels: Sequence[Kernel], times: Sequence[float | None]) -> float | None:
    values = [_value(kernel, counter) for kernel in kernels]
    present = [value for value in values if value is not None]
    if not present or len(present) < len(values):
        return None
    if counter.rule == "sum":
        return sum(present)
    if len(present) == 1:
        return present[0]
    weights = [time for time in times if time is not None]
    if len(weights) < len(values) or not sum(weights):
        return None
    return sum(v * w for v, w in zip(present, weights, strict=True)) / sum(weights)


def _value(kernel: Kernel, counter: Counter) -> float | None:
    found = [kernel.metrics[name] for name in counter.names if name in kernel.metrics]
    return found[0] * counter.scale if found and math.isfinite(found[0]) else None


# A key has no blanks and ends in its seed; phases are plain words.
_RANGE = re.compile(rf"{DOMAIN}:([^\s\"]+?/seed\d+|[\w-]+)(?=[:\"\s]|$)")
_KEY = re.compile(r"\S+/seed\d+")


def ranges_in(cell: str) -> frozenset[str]:
    """Names of our domain's ranges in an NVTX cell of Nsight Compute's CSV.

    Such a cell is a thread and, for every range on its stack, ``"Domain:Name:..."`` with six more fields; names may
    contain colons themselves.
    """
    return frozenset(_RANGE.findall(cell))


def is_key(name: str) -> bool:
    """Whether a range name is a case key, not a phase."""
    return _KEY.fullmatch(name) is not None


def keys_of(kernel: Kernel) -> list[str]:
    """The case keys among the ranges that a kernel ran in."""
    return [name for name in kernel.ranges if is_key(name)]


def by_key(kernels: Iterable[Kernel]) -> dict[str, list[Kernel]]:
    """Kernels by case key, in launch order; where a case has a timed phase, only the kernels of that phase.

    Warm-up and checking launch the same kernels inside the case's range; they must not be added to the timed ones.
    """
    groups: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        for key in keys_of(kernel):
            groups.setdefault(key, []).append(kernel)
    for key, group in groups.items():
        timed = [kernel for kernel in group if TIMED in kernel.ranges]
        groups[key] = timed or group
    return groups
