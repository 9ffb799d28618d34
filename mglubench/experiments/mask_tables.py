"""The tables of masks: what flips beside what flips under noise, gate shares by layer, routers' loads."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from mglubench.experiments.arms import Arm, arms_named
from mglubench.experiments.outcomes import last_steps
from mglubench.experiments.trial import Row
from mglubench.experiments.trial_record import Header
from mglubench.report.table import Column, Table, number, text


def mask_tables(header: Header, rows: Sequence[Row]) -> list[Table]:
    """Those for which there are rows."""
    arms = [arm for arm in arms_named(header.arms) if arm.nm]
    tables = [_flips(header, rows, [arm for arm in arms if arm.has_logits]), _by_layer(rows, arms), _loads(rows, arms)]
    return [table for table in tables if table.rows]


def _flips(header: Header, rows: Sequence[Row], arms: Sequence[Arm]) -> Table:
    found = []
    for arm in arms:
        mine = [row for row in rows if row.phase == "main" and row.arm == arm.name and row.step and row.masks]
        for step in sorted({row.step for row in mine}):
            states = [state for row in mine if row.step == step for state in row.masks]
            found.append(
                {
                    "arm": arm.name,
                    "step": step,
                    "seeds": sum(row.step == step for row in mine),
                    **{
                        name: fmean(getattr(state, name) or 0.0 for state in states)
                        for name in ("flipped", "noise_flipped", "moved", "noise_moved")
                    },
                    "entropy": fmean(state.entropy for state in states) / arm.nm,
                    "gates": _gates([row for row in mine if row.step == step]),
                }
            )
    columns = (
        Column("arm", "arm", text("arm"), text=True),
        Column("step", "step", text("step")),
        Column("seeds", "seeds", text("seeds")),
        Column("flipped", "flipped %", number("flipped", ".2f", 100)),
        Column("noise_flipped", "under noise %", number("noise_flipped", ".2f", 100)),
        Column("moved", "unlike the start %", number("moved", ".2f", 100)),
        Column("noise_moved", "under noise % ", number("noise_moved", ".2f", 100)),
        Column("entropy", "entropy", number("entropy", ".4f")),
        Column("gates", "gate share by layer %", text("gates"), text=True),
    )
    notes = [
        f"flipped: bits that differ from {header.setting.every} steps before, mean of layers and seeds; under noise: "
        "the same of logits that start, and are optimised, alike, but get the gradients of logits drawn at random",
        "entropy: of the bit patterns of the weights, bits per mask; 1 if all patterns are alike frequent",
        "gate share: of all masks and seeds, from the first layer to the last",
    ]
    return Table("Mask bits over a training", columns, found, notes)


def _gates(rows: Sequence[Row]) -> str:
    """The gate share of each layer, mean of masks and seeds."""
    layers = zip(*(row.masks for row in rows), strict=True)
    return " ".join(f"{100 * fmean(share for state in states for share in state.gate):.1f}" for states in layers)


def _by_layer(rows: Sequence[Row], arms: Sequence[Arm]) -> Table:
    last, found = last_steps(rows), list[dict[str, object]]()
    for arm in arms:
        ends = [row for (name, _), row in last.items() if name == arm.name and row.masks]
        for layer in range(len(ends[0].masks) if ends else 0):
            states = [row.masks[layer] for row in ends]
            shares = [share for state in states for share in state.gate]
            found.append(
                {
                    "arm": arm.name,
                    "layer": layer + 1,
                    "gate": fmean(shares),
                    "lowest": min(shares),
                    "highest": max(shares),
                    "moved": fmean(state.moved for state in states) if arm.has_logits else None,
                    "noise": fmean(state.noise_moved or 0.0 for state in states) if arm.has_logits else None,
                }
            )
    columns = (
        Column("arm", "arm", text("arm"), text=True),
        Column("layer", "layer", text("layer")),
        Column("gate", "gate share %", number("gate", ".2f", 100)),
        Column("lowest", "lowest mask %", number("lowest", ".2f", 100)),
        Column("highest", "highest mask %", number("highest", ".2f", 100)),
        Column("moved", "unlike the start %", number("moved", ".2f", 100)),
        Column("noise", "under noise %", number("noise", ".2f", 100)),
    )
    notes = [
        "at the last evaluation of every seed; the paper's figure 14 (appendix C) goes from 45 to 55 % over depth, "
        "most in the first layer and least in the middle"
    ]
    return Table("Masks by layer", columns, found, notes)


def _loads(rows: Sequence[Row], arms: Sequence[Arm]) -> Table:
    found = []
    for (name, seed), row in last_steps(rows).items():
        if name in {arm.name for arm in arms if arm.top_k}:
            found += [
                {
                    "arm": name,
                    "seed": seed,
                    "layer": layer + 1,
                    "load": " / ".join(f"{share:.2f}" for share in state.load),
                }
                for layer, state in enumerate(row.masks)
            ]
    columns = tuple(
        Column(key, key, text(key), text=key in ("arm", "load")) for key in ("arm", "seed", "layer", "load")
    )
    return Table("Tokens that keep a mask", columns, found, ["share of tokens, by mask; no loss balances them"])
