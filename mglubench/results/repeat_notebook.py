"""What repeats found out about a device, remembered beside its ceilings: how far runs of the same sweep differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import msgspec

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


Deviation = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviation between runs, log, of a device's latencies or ratios.

    Attributes:
        median, largest: over the figures. by: of each figure, by case key (and, of a ratio, what it is over).
    """

    median: Deviation
    largest: Deviation
    by: Mapping[str, Deviation]


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
    runs: Count
    modes: tuple[str, ...]
    threads: Count | None
    latencies: Spread
    ratios: Spread | None
    covered: Count
    intervals: Count
    others: Spread | None = None
    level: Deviation | None = None

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
        return msgspec.convert(entry, Remembered)
    except ValueError as error:
        raise NOTEBOOK.damaged(f"{device}: {error}") from None


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
