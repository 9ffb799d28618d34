"""What repeats found out about a device, remembered beside its ceilings: how far runs of the same sweep differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mglubench.errors import MglubenchError
from mglubench.hardware.devices import devices_in
from mglubench.results.header import Header
from mglubench.results.repeats import Figure, Repeats, Summary, summary
from mglubench.system.notebook import Notebook

NOTEBOOK = Notebook(
    file="repeats.json",
    variable="MGLUBENCH_REPEATS",
    content="devices",
    version=1,
    what="table of repeats",
    again="run `mglubench repeat` once more",
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviation between runs, log, of a device's latencies or ratios.

    Attributes:
        median, largest: over the figures. by: of each figure, by case key (and, of a ratio, what it is over).
    """

    median: float
    largest: float
    by: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the last repeats of a device found.

    Attributes:
        run: folder of the repeats. time: when the last of them began, UTC. runs: how many. modes: that were measured.
        threads: of torch, ``None`` for a GPU. ratios: ``None`` where nothing was compared. covered: printed intervals
            of ratios (of latencies where there are none) that held the grand median, of ``intervals``.
        others: of latencies against the others of their run. level: deviation of what all cases of a run share. Both
            ``None`` where too few variants were measured, or by a version that did not look at it.
    """

    run: str
    time: str
    runs: int
    modes: tuple[str, ...]
    threads: int | None
    latencies: Spread
    ratios: Spread | None
    covered: int
    intervals: int
    others: Spread | None = None
    level: float | None = None

    def words(self) -> str:
        """In one line: how far runs differ, and how that is known."""
        what, spread = ("ratios", self.ratios) if self.ratios else ("latencies", self.latencies)
        by = f"{what} differ by {spread.median:.1%} between runs (standard deviation, median; largest"
        return (
            f"{by} {spread.largest:.1%}), {self.covered} of {self.intervals} intervals cover, measured "
            f"{self.time[:10]} by {self.runs} runs, {', '.join(self.modes)}"
        )


def remember(repeats: Repeats, header: Header, run: str) -> str:
    """Keep what repeats found for the devices of their runs; says in one line why not if it cannot be kept.

    Args:
        header: of the last run. run: name of the folder of all. A fake run is not kept.
    """
    if header.get("fake"):
        return ""
    found: dict[str, object] = {}
    for name, device in devices_in(header["environment"]).items():
        entry = _entry(repeats.on(name), header["environment"]["time"], run, device.torch_threads)
        if entry and device.name:
            found[device.name] = entry
    try:
        if found:
            NOTEBOOK.change(lambda devices: {**devices, **found})
    except MglubenchError as error:
        return f"the spread between runs was not remembered: {error}"
    return ""


def remembered(device: str) -> Remembered | None:
    """What is known of a device by the name that it reports; ``None`` if it was never repeated.

    Raises:
        UsageError: the table of repeats is damaged.
    """
    entry = NOTEBOOK.read().get(device)
    if entry is None:
        return None
    try:
        return _remembered(entry)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise NOTEBOOK.damaged(f"{device}: {type(error).__name__} {error}") from None


def _entry(repeats: Repeats, time: str, run: str, threads: int | None) -> dict[str, object] | None:
    of_latencies, of_ratios = summary(repeats.latencies), summary(repeats.ratios)
    if of_latencies is None:
        return None
    judged = of_ratios or of_latencies
    return {
        "run": run,
        "time": time,
        "runs": repeats.runs,
        "modes": list(dict.fromkeys(figure.setting.mode for figure in repeats.latencies)),
        "threads": threads,
        "latencies": _spread(of_latencies, repeats.latencies),
        "ratios": _spread(of_ratios, repeats.ratios) if of_ratios else None,
        "covered": judged.covered,
        "intervals": judged.intervals,
        **_against_others(repeats),
    }


def _against_others(repeats: Repeats) -> dict[str, object]:
    found = next(iter(repeats.apart.values()), None)
    if found is None or not found.cases:
        return {}
    values = list(found.cases.values())
    return {"others": {"median": median(values), "largest": max(values), "by": dict(found.cases)}, "level": found.level}


def _spread(found: Summary, figures: Sequence[Figure]) -> dict[str, object]:
    by = {figure.name: figure.deviation for figure in figures}
    return {"median": found.median, "largest": found.largest, "by": by}


def _remembered(entry: Mapping[str, object]) -> Remembered:
    modes, latencies, ratios = entry["modes"], entry["latencies"], entry["ratios"]
    if not isinstance(modes, list):
        raise ValueError(f"modes of {modes!r}")
    threads = entry["threads"]
    return Remembered(
        str(entry["run"]),
        str(entry["time"]),
        _whole(entry["runs"]),
        tuple(str(mode) for mode in modes),
        None if threads is None else _whole(threads),
        _read_spread(latencies),
        None if ratios is None else _read_spread(ratios),
        _whole(entry["covered"]),
        _whole(entry["intervals"]),
        None if (others := entry.get("others")) is None else _read_spread(others),
        None if (level := entry.get("level")) is None else _deviation(level),
    )


def _read_spread(entry: object) -> Spread:
    if not isinstance(entry, Mapping) or not isinstance(entry["by"], Mapping):
        raise ValueError(f"a spread of {entry!r}")
    by = {str(name): _deviation(value) for name, value in entry["by"].items()}
    return Spread(_deviation(entry["median"]), _deviation(entry["largest"]), by)


def _deviation(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"a deviation of {value!r}")
    return float(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"a number of {value!r}")
    return value
