"""Tokens per second of a model's stack of feed-forward blocks, from the time of one: an estimate, and called one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mglubench.cases.case import Setting
from mglubench.cases.models import Model, models_of
from mglubench.cases.vocabulary import MLP
from mglubench.report.fastest import fastest
from mglubench.report.table import NM, VARIANT, Column, Row, Table, amount, figure, named, number, ratio, text


def _between(row: Row) -> str:
    low, high = figure(row, "tokens_per_s_low"), figure(row, "tokens_per_s_high")
    return "-" if low is None or high is None or low == high else f"{low:,.1f} to {high:,.1f}"


# Blocks of a stack have weights of their own, which no block before them leaves in a cache.
HOT = "hot"
STACK = (
    named("model"),
    Column("layers", "layers", text("layers"), spare=7),
    VARIANT,
    NM,
    Column("stack_ms", "ms a step", number("stack_ms", ",.2f"), spare=3),
    Column("tokens_per_s", "tokens/s", number("tokens_per_s", ",.1f"), spare=0),
    Column("interval", "95 % interval", _between, text=True, spare=2),
    Column("vs_glu", "x fastest GLU", ratio("vs_glu"), spare=1),
)
NOTES = (
    "an estimate: a model's blocks one after the other, each taking the time of the one that was measured; attention, "
    "norms, embeddings, sampling and whatever lies between blocks take no time here, so no model decodes as fast",
    "layers: num_hidden_layers of the model, as sweeps/llms.toml has it; its weights and its activation are not used",
)


def stack_tables(setting: Setting, rows: Sequence[Row]) -> list[Table]:
    """The estimates for the models that have blocks of this setting's shape: one table, or none.

    Args:
        setting: of whole blocks (``--block mlp``) that were not hot; for any other there is no table.
        rows: its layers that were measured. Shown are the fastest GLU, and the fastest MGLU of each nm.
    """
    models = models_of(setting.h, setting.d) if setting.block == MLP and setting.mode != HOT else []
    shown = [_line(model, setting.batch, row) for model in models for row in _shown(rows)]
    return [Table(f"Estimate of a model's stack: {setting.title()}", STACK, shown, NOTES)] if shown else []


def _shown(rows: Sequence[Row]) -> Iterator[Row]:
    groups: dict[tuple[bool, int], list[Row]] = {}
    for row in rows:
        if row["layer"] in ("glu", "mglu"):
            groups.setdefault((row["layer"] == "mglu", int(amount(row, "nm"))), []).append(row)
    yield from (fastest(group) for _, group in sorted(groups.items()))


def _line(model: Model, batch: int, row: Row) -> Row:
    """Figures of one stack: milliseconds for a step of all its tokens, and tokens per second with their interval."""
    ends = {"": "latency_us", "_low": "latency_high_us", "_high": "latency_low_us"}
    rates = {end: batch / (model.layers * amount(row, key) * 1e-6) for end, key in ends.items()}
    return {
        "model": model.name,
        "layers": model.layers,
        **{key: row[key] for key in ("variant", "nm", "vs_glu", "vs_glu_low", "vs_glu_high")},
        "stack_ms": model.layers * amount(row, "latency_us") * 1e-3,
        **{f"tokens_per_s{end}": rate for end, rate in rates.items()},
    }
