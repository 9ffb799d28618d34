"""The tables of an ablation: losses with their spread over seeds, differences seed by seed, learning rates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from mglubench.experiments.arms import ARMS, Arm, arms_named, why_unmatched
from mglubench.experiments.outcomes import Mean, difference, last_steps, losses_by_seed, mean_of
from mglubench.experiments.paper_quality import PERPLEXITY, SOURCE
from mglubench.experiments.trial import Row
from mglubench.experiments.trial_plan import candidates, chosen
from mglubench.experiments.trial_record import Header
from mglubench.report.table import Column, Formatter, Table, figure, number, text
from mglubench.report.table import Row as Cells

BASE = "gelu"
AGAINST = "swiglu"
# What one question of the paper holds against what.
PAIRS = (
    *((f"nm{nm}", f"nm{nm}-fixed", "learned masks against fixed ones") for nm in (1, 2, 4, 8)),
    ("nm1-gate-only", "nm1", "no mask on the value"),
    ("nm1-value-only", "nm1", "no mask on the gate"),
    ("tied", "nm1", "no masks"),
    ("swiglu-narrow", "nm4", "SwiGLU of the same weights"),
    *(
        (f"nm4-top{k}-{order}", "nm4", f"{k} of 4 masks a token")
        for k in (1, 2, 4)
        for order in ("softmax-last", "softmax-first")
    ),
)


def loss_table(header: Header, rows: Sequence[Row]) -> Table:
    """Held-out loss of every arm after the last step, mean and spread over its seeds."""
    setting = header.setting
    arms = arms_named(header.arms)
    base = losses_by_seed(rows, AGAINST, setting.steps)
    found = []
    for arm in arms:
        losses = losses_by_seed(rows, arm.name, setting.steps)
        if not losses:
            continue
        choice = chosen(setting, arm, {row.key: row for row in rows})
        found.append(
            {
                "arm": arm.name,
                "rate": choice[0] if choice else None,
                "weights": arm.weights / ARMS[BASE].weights,
                "bits": arm.nm or None,
                "flops": arm.training_flops / ARMS[BASE].training_flops,
                **spread_of("loss", mean_of(list(losses.values()))),
                "perplexity": math.exp(mean_of(list(losses.values())).value),
                **spread_of("over", difference(losses, base) if arm.name != AGAINST else None),
                "paper": PERPLEXITY.get(arm.name),
            }
        )
    columns = (
        Column("arm", "arm", text("arm"), text=True),
        Column("rate", "rate", number("rate", "g")),
        Column("weights", "weights", number("weights", ".2f")),
        Column("bits", "mask bits", text("bits")),
        Column("flops", "FLOPs", number("flops", ".2f")),
        Column("loss_count", "seeds", text("loss_count")),
        Column("loss", "held-out loss", number("loss", ".4f")),
        Column("loss_sd", "sd", number("loss_sd", ".4f")),
        Column("loss_lowest", "lowest to highest", between("loss_lowest", "loss_highest", ".4f")),
        Column("perplexity", "perplexity", number("perplexity", ".3f")),
        Column("over", f"minus {AGAINST}", with_interval("over")),
        Column("paper", "paper", number("paper", ".1f")),
    )
    size = f"h={setting.h} d={setting.d}, {setting.layers} layers"
    total = setting.steps * setting.tokens_per_step
    title = f"Held-out loss after {setting.steps:,} steps, {total:,} bytes: {size}"
    return Table(title, columns, found, [*_notes(header), *_costs(arms), *_unfinished(header, rows)])


def pair_table(header: Header, rows: Sequence[Row]) -> Table | None:
    """One line for each question that both arms of a pair have answered."""
    found = []
    for mine, theirs, what in PAIRS:
        steps = header.setting.steps
        gap = difference(losses_by_seed(rows, mine, steps), losses_by_seed(rows, theirs, steps))
        if gap is not None:
            papers = [PERPLEXITY.get(name) for name in (mine, theirs)]
            told = f"{papers[0]} - {papers[1]}" if all(papers) else ""
            found.append({"what": what, "pair": f"{mine} - {theirs}", **spread_of("gap", gap), "paper": told})
    columns = (
        Column("what", "question", text("what"), text=True),
        Column("pair", "difference of", text("pair"), text=True),
        Column("gap_count", "seeds", text("gap_count")),
        Column("gap", "held-out loss", with_interval("gap")),
        Column("paper", "paper", text("paper"), text=True),
    )
    notes = ["below 0 the first is better; [ ]: 95 % interval over the seeds that both have, by Student's t"]
    return Table("Differences, seed by seed", columns, found, notes) if found else None


def rate_table(header: Header, rows: Sequence[Row]) -> Table | None:
    """What each candidate of each arm came to in its sweep, and which was chosen."""
    setting, found, edges = header.setting, list[dict[str, object]](), list[str]()
    by_key = {row.key: row for row in rows}
    sweeps = [row for row in rows if row.phase == "sweep" and (row.step == setting.sweep_steps or row.loss is None)]
    for arm in arms_named(header.arms or [AGAINST]):
        choice = chosen(setting, arm, by_key)
        ends = [row for row in sweeps if row.arm == arm.name]
        found += [
            {
                "arm": arm.name,
                "rate": row.rate,
                "factor": row.factor if arm.has_logits else None,
                "loss": row.loss,
                "note": row.reason,
                "chosen": (row.rate, row.factor) == choice,
            }
            for row in ends
        ]
        if (
            len(ends) == len(candidates(setting, arm))
            and choice
            and choice[0] in (min(setting.rates), max(setting.rates))
        ):
            edges.append(arm.name)
    columns = (
        Column("arm", "arm", text("arm"), text=True),
        Column("rate", "rate", number("rate", "g")),
        Column("factor", "masks' over it", number("factor", "g")),
        Column("loss", "validation loss", number("loss", ".4f")),
        Column("note", "note", text("note"), text=True),
    )
    notes = [
        f"one trial of {setting.sweep_steps} steps each, with a seed of its own, on text that is neither trained on "
        "nor reported; the lowest is chosen"
    ]
    if edges:
        notes.append(f"chosen at the edge of the sweep, so that a better rate may lie beyond: {', '.join(edges)}")
    return Table("Learning rates", columns, found, notes, best="chosen") if found else None


def spread_of(name: str, mean: Mean | None) -> dict[str, object]:
    """The fields of a mean under ``name``, ``name_sd``, ..."""
    if mean is None:
        return {}
    others = ("count", "sd", "low", "high", "lowest", "highest")
    return {name: mean.value, **{f"{name}_{other}": getattr(mean, other) for other in others}}


def with_interval(key: str, pattern: str = "+.4f") -> Formatter:
    """A difference with its interval."""

    def show(row: Cells) -> str:
        value, low, high = (figure(row, name) for name in (key, f"{key}_low", f"{key}_high"))
        if value is None:
            return "-"
        return format(value, pattern) + ("" if low is None or high is None else f" [{low:{pattern}}, {high:{pattern}}]")

    return show


def between(low: str, high: str, pattern: str) -> Formatter:
    """From one figure to another."""
    return lambda row: f"{figure(row, low) or 0:{pattern}} to {figure(row, high) or 0:{pattern}}"


def _notes(header: Header) -> list[str]:
    setting, corpus = header.setting, header.corpus
    return [
        f"{corpus.name}: loss in nats per byte over {setting.tests} windows of {setting.context} bytes of documents "
        f"that were not trained on; {setting.tokens_per_step} bytes a step, the same ones for all arms of a seed",
        f"sd: between seeds; minus {AGAINST}: mean of the differences seed by seed [95 % interval by Student's t]",
        f"weights and training FLOPs of the feed-forward blocks over {BASE}'s, counted as the paper does; mask bits "
        "per weight of the first matrix",
        SOURCE,
    ]


def _costs(arms: Sequence[Arm]) -> list[str]:
    unlike = [reason for arm in arms if (reason := why_unmatched(arm, ARMS[BASE]))]
    return [f"not matched in cost: {'; '.join(unlike)}"] if unlike else []


def _unfinished(header: Header, rows: Sequence[Row]) -> list[str]:
    setting, last = header.setting, last_steps(rows)
    finished = Counter(arm for (arm, _), row in last.items() if row.step == setting.steps)
    lacking = [f"{name} {finished[name]}" for name in header.arms if finished[name] < setting.seeds]
    failed = [f"{row.key}: {row.reason}" for row in rows if row.reason]
    notes = [f"not all trained; seeds of {setting.seeds} that are: {', '.join(lacking)}"] if lacking else []
    return notes + ([f"failed: {'; '.join(failed)}"] if failed else [])
