"""Columns that are found for all sets of a frame at once are those of each set by itself, row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

import mglubench
from mglubench.cases.axes import SHARED
from mglubench.comparison import Member, compare_set, role_of
from mglubench.estimates import latency, ratio
from mglubench.measure.measurement import Round, series_of
from mglubench.notices import LEAST_SAMPLES, noise_notice, notices, plain_notices
from mglubench.results.metrics import derive
from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row

LAYERS = {"swiglu": "glu", "swiglu-merged": "glu", "lu": "lu", "stream-read": "read"}
MASKED = ("mglu-naive", "mglu-naive-float", "mglu-naive-complement", "mglu-numba-cpu")
ENDS = ("", "_low", "_high")


def rounds_of(rng, kind):
    """Rounds as runs have them and as they should not: none, few, of other numbers, of several processes."""
    if kind == "none":
        return []
    numbers = {"few": [0, 1], "late": [20, 21, 22, 23], "some": [1, 3, 4, 6], "odd": [3, 1, 1, 4, 0]}.get(
        kind, range(7)
    )
    found = []
    for number in numbers:
        count = int(rng.integers(0 if kind == "gaps" else 2, 9))
        copies = tuple(int(copy) for copy in rng.integers(0, 4, count)) if kind != "one copy" else ()
        found.append(Round(number, process=number // 3 if kind == "processes" else 0, count=count, copies=copies))
    return found


KINDS = ("whole", "whole", "whole", "processes", "none", "few", "late", "some", "odd", "gaps", "one copy")


def random_row(rng, variant, nm, seed, number):
    rounds = rounds_of(rng, KINDS[int(rng.integers(len(KINDS)))])
    count = sum(turn.count for turn in rounds) if rounds else int(rng.integers(1, 12))
    samples = np.round(np.exp(rng.normal(rng.uniform(11, 13), rng.choice([0.001, 0.03, 0.3]), count))).tolist()
    slow = rng.random(count) < 0.3 * (rng.random() < 0.2)
    samples = [value * (2.0 if is_slow else 1.0) for value, is_slow in zip(samples, slow, strict=True)]
    good = bool(samples) and rng.random() > 0.1
    row = make_row(
        LAYERS.get(variant, "mglu"),
        samples if good else [],
        variant=variant,
        nm=nm,
        seed=seed,
        mask="bernoulli:0.5" if nm else "none",
        **({} if good else {"status": "error", "reason": "no"}),
    )
    return replace(row, rounds=rounds if good else [], set=number, discarded=int(rng.integers(0, 8)))


def expected(frame):
    """The same columns from one set and one row at a time."""
    records = frame.to_dict("records")
    series = {n: series_of(row["samples_ns"], row["rounds_of"]) for n, row in enumerate(records)}
    groups = {}
    for n, row in enumerate(records):
        if row["status"] == "ok" and row["layer"] != "read":
            groups.setdefault((row["set"], *(row[name] for name in SHARED)), []).append(n)
    found = {}
    for (number, *_), own in groups.items():
        members = [
            Member(n, role_of(row["variant"], row["layer"]), (row["nm"], row["mask"]) if row["nm"] else None, series[n])
            for n, row in ((n, records[n]) for n in own)
        ]
        readers = [
            n
            for n, row in enumerate(records)
            if (row["status"], row["layer"], row["set"]) == ("ok", "read", number) and row["rounds_of"]
        ]
        for n, compared in compare_set(members).items():
            found[n] = one(records, series, n, compared) | shares(records, series, n, readers)
    return found


def one(records, series, n, compared):
    row, values = records[n], {}
    for name in ("glu", "naive", "printed"):
        base, over = getattr(compared, name), getattr(compared, f"over_{name}")
        if over is None:
            continue
        plain = records[base]["latency_us"] / row["latency_us"]
        values[f"vs_{name}"] = over.value if row["rounds_of"] else plain
        if math.isfinite(over.half_width) and min(len(series[i].samples) for i in (base, n)) >= LEAST_SAMPLES:
            values |= {f"vs_{name}_low": over.low, f"vs_{name}_high": over.high}
        if name != "printed":
            values[f"fastest_{name}"] = records[base]["variant"]
    said = plain_notices(len(row["samples_ns"]))
    if row["rounds_of"]:
        said += [*noise_notice(compared.latency.relative), *notices(series[n], row["discarded"])]
    return values | {"notices": "; ".join(notice.words for notice in said)}


def shares(records, series, n, readers):
    if not readers:
        return {}
    rates = {i: records[i]["bytes_total"] / latency(series[i]).value for i in readers}
    best = max(readers, key=rates.__getitem__)
    if not set(series[best].round_numbers) & set(series[n].round_numbers):
        return {}
    share = records[n]["bytes_total"] / records[best]["bytes_total"] * ratio(series[best], series[n]).value
    return {"share_of_ceiling": share, "share_of_own_read": share, "ceiling_gb_per_s": rates[best]}


COLUMNS = (
    *(f"vs_{name}{end}" for name in ("glu", "naive", "printed") for end in ENDS),
    *("fastest_glu", "fastest_naive", "notices", "share_of_own_read"),
)


@pytest.mark.parametrize("seed", range(3))
def test_all_sets_at_once_are_each_by_itself(tmp_path, seed):
    rng = np.random.default_rng(seed)
    cases = [(name, 0) for name in LAYERS] + [(name, nm) for name in MASKED for nm in (1, 4)]
    with RunStore.create(tmp_path / "run", make_header()) as store:
        for number in range(6):
            for variant, nm in rng.permutation(np.array(cases, dtype=object)):
                store.append(random_row(rng, variant, nm, number % 2, number // 2))
    frame = mglubench.load(tmp_path / "run", samples=True)
    wanted = expected(frame)
    assert len(wanted) > 30
    for found in (frame, derive(frame)):
        for n, row in enumerate(found.to_dict("records")):
            own = wanted.get(n, {})
            for name in COLUMNS:
                value, right = row[name], own.get(name)
                if isinstance(right, str):
                    assert value == right, (n, name)
                elif right is None:
                    assert value is None or value != value, (n, name, value)
                else:
                    assert value == pytest.approx(right, rel=1e-12), (n, name)
            if "share_of_ceiling" in own:
                assert row["ceiling_gb_per_s"] == pytest.approx(own["ceiling_gb_per_s"], rel=1e-12)
                assert row["share_of_ceiling"] == pytest.approx(own["share_of_ceiling"], rel=1e-12)


def test_rounds_that_do_not_add_up_are_no_frame(tmp_path):
    with RunStore.create(tmp_path / "run", make_header()) as store:
        store.append(replace(make_row("lu", [1.0] * 4, variant="lu", nm=0), rounds=[Round(0, 0, count=4)]))
    frame = mglubench.load(tmp_path / "run", samples=True)
    frame["samples_ns"] = [[1.0] * 3]
    with pytest.raises(ValueError, match="add up"):
        derive(frame)
