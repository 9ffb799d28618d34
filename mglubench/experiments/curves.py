"""Pictures of an experiment: losses over bytes, bits that flip beside noise, gate shares over depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from mglubench.errors import UsageError
from mglubench.experiments.arms import arms_named
from mglubench.experiments.outcomes import last_steps
from mglubench.experiments.trial import Row
from mglubench.experiments.trial_plan import CONVERTED, DENSE, STARTS
from mglubench.experiments.trial_record import Header
from mglubench.report.chart import key
from mglubench.report.looks import COLOURS, Look, dashes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[str, str, Sequence[Row]]


def curves(header: Header, rows: Sequence[Row]) -> Figure:
    """One panel below another, as far as there are rows for them.

    Raises:
        UsageError: nothing was evaluated yet.
    """
    panels = [panel for panel in (_losses(header, rows), *_mask_panels(header, rows)) if panel]
    if not panels:
        raise UsageError("this run has nothing to draw yet")
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9.0, 4.6 * len(panels)), layout="constrained")
    for axes, draw in zip(drawn.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        draw(axes)
        axes.grid(True, which="major", axis="y", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _losses(header: Header, rows: Sequence[Row]) -> Callable[[Axes], None] | None:
    lines = [line for line in _lines(header, rows) if line[2]]
    if not lines:
        return None

    def draw(axes: Axes) -> None:
        ends = []
        for number, (name, _, mine) in enumerate(lines):
            look = _look(number)
            steps = sorted({row.step for row in mine if row.step or row.start})
            groups = [[row.loss for row in mine if row.step == step and row.loss is not None] for step in steps]
            x = [step * header.setting.tokens_per_step for step in steps]
            axes.plot(x, [fmean(group) for group in groups], color=look.colour, linestyle=look.dashes, linewidth=1.4)
            axes.fill_between(
                x, [min(g) for g in groups], [max(g) for g in groups], color=look.colour, alpha=0.12, linewidth=0
            )
            if groups:
                ends.append((fmean(groups[-1]), name, look))
        _names(axes, ends)
        axes.set_xlabel("bytes trained on")
        axes.set_ylabel("held-out loss, nats per byte")
        axes.set_title("mean of the seeds, band from lowest to highest", fontsize=10, loc="left")

    return draw


def _lines(header: Header, rows: Sequence[Row]) -> list[Line]:
    if header.experiment != "convert":
        return [(n, n, [r for r in rows if r.phase == "main" and r.arm == n]) for n in header.arms]
    ways = [("dense", DENSE), *((start, arm) for start in STARTS for arm in CONVERTED)]
    return [
        (f"{start} {arm}", arm, [r for r in rows if r.phase == "retrain" and (r.start, r.arm) == (start, arm)])
        for start, arm in ways
    ]


def _mask_panels(header: Header, rows: Sequence[Row]) -> list[Callable[[Axes], None]]:
    learned = [arm.name for arm in arms_named(header.arms) if arm.has_logits]
    mine = {name: [r for r in rows if r.phase == "main" and r.arm == name and r.masks and r.step] for name in learned}
    mine = {name: found for name, found in mine.items() if found}
    return [lambda axes: _flips(axes, header, mine), lambda axes: _depth(axes, rows, list(mine))] if mine else []


def _flips(axes: Axes, header: Header, mine: dict[str, list[Row]]) -> None:
    ends = []
    for number, (name, rows) in enumerate(mine.items()):
        steps = sorted({row.step for row in rows})
        states = [[state for row in rows if row.step == step for state in row.masks] for step in steps]
        flipped = [100 * fmean(state.flipped for state in some) for some in states]
        noise = [100 * fmean(state.noise_flipped or 0.0 for state in some) for some in states]
        look = _look(number)
        axes.plot(steps, flipped, color=look.colour, linewidth=1.4)
        axes.plot(steps, noise, color=look.colour, linewidth=1.0, linestyle=":")
        ends.append((flipped[-1], name, look))
    _names(axes, ends)
    axes.set_xlabel("step")
    axes.set_ylabel(f"bits flipped in {header.setting.every} steps, %")
    axes.set_title("bits that flip; dotted: under gradients of logits drawn at random", fontsize=10, loc="left")


def _depth(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    ends, last = [], last_steps(rows)
    for number, name in enumerate(names):
        runs = [row for (arm, _), row in last.items() if arm == name]
        shares = [
            100 * fmean(share for row in runs for share in row.masks[layer].gate) for layer in range(len(runs[0].masks))
        ]
        look = _look(number)
        axes.plot(range(1, len(shares) + 1), shares, color=look.colour, linestyle=look.dashes, marker="o", markersize=4)
        ends.append((shares[-1], name, look))
    _names(axes, ends)
    axes.set_xlabel("layer")
    axes.set_ylabel("gate share, %")
    axes.set_title("entries that feed the gate, at the last evaluation", fontsize=10, loc="left")


def _look(number: int) -> Look:
    return Look(number, COLOURS[number % len(COLOURS)], "", dashes_of(number // len(COLOURS)))


def _names(axes: Axes, ends: Sequence[tuple[float, str, Look]]) -> None:
    """A key, as high as lines end."""
    key(axes, [(name, look, True) for _, name, look in sorted(ends, key=lambda end: -end[0])])
