"""The table of conversions: what is lost at once, and what is left of it after retraining."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.experiments.loss_tables import spread_of, with_interval
from mglubench.experiments.outcomes import difference, losses_by_seed, mean_of
from mglubench.experiments.trial import Row
from mglubench.experiments.trial_plan import CONVERTED, DENSE, STARTS
from mglubench.experiments.trial_record import Header
from mglubench.report.table import Column, Table, number, text


def conversion_table(header: Header, rows: Sequence[Row]) -> Table:
    """One line per start and number of masks, under the dense model that was trained on alike."""
    setting = header.setting
    before = losses_by_seed(rows, DENSE, setting.steps, "dense")
    going_on = losses_by_seed(rows, DENSE, setting.retrain_steps, "retrain", "dense")
    found: list[dict[str, object]] = []
    for start, arm in (("dense", DENSE), *((start, arm) for start in STARTS for arm in CONVERTED)):
        at_once = losses_by_seed(rows, arm, 0, "retrain", start)
        after = losses_by_seed(rows, arm, setting.retrain_steps, "retrain", start)
        if not after:
            continue
        dense = start == "dense"
        found.append(
            {
                "start": "none: the dense model goes on" if dense else start,
                "arm": arm,
                "seeds": len(after),
                "at_once": mean_of(list(at_once.values())).value,
                **spread_of("lost", None if dense else difference(at_once, before)),
                **spread_of("after", mean_of(list(after.values()))),
                **spread_of("left", None if dense else difference(after, going_on)),
            }
        )
    columns = (
        Column("start", "start", text("start"), text=True),
        Column("arm", "layer", text("arm"), text=True),
        Column("seeds", "seeds", text("seeds")),
        Column("at_once", "loss at once", number("at_once", ".4f")),
        Column("lost", "lost", with_interval("lost")),
        Column("after", "after retraining", number("after", ".4f")),
        Column("after_sd", "sd", number("after_sd", ".4f")),
        Column("left", "left", with_interval("left")),
    )
    mean = f", {mean_of(list(before.values())).value:.4f} at its end" if before else ""
    notes = [
        f"a SwiGLU model of {setting.steps:,} steps{mean}; all are trained on for {setting.retrain_steps:,} steps on "
        "the same batches, at its learning rate with a new warm-up",
        "lost: over the dense model as it was; left: over the dense model that was trained on as long; means of the "
        "differences seed by seed [95 % interval by Student's t]",
        "fresh: a new first matrix, everything else as trained; larger, sum: see `mglubench.nn.hf_starts`",
    ]
    return Table("From a trained SwiGLU to masks", columns, found, notes)
