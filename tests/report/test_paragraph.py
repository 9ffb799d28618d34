"""What a run says in words, which figures are certain, and the warnings beside them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mglubench.measure.eviction import walk_size
from mglubench.measure.rotation import why_not_cold
from mglubench.report.paragraph import paragraph
from mglubench.report.tables import run_tables
from tests.conftest import make_row

MIB = 1 << 20
LAYER = {"h": 2048, "d": 8192, "device": "cpu", "mode": "cold"}
SWEEP = ("sweep", "--executor", "fake", "--h", "2048", "--d", "8192", "--nm", "1,8")
NAMED = ("--variants", "lu,swiglu,mglu-naive,mglu-numba-cpu")


def glu(latency: float, count: int = 9):
    return make_row("glu", [latency] * count, variant="swiglu", nm=0, **LAYER)


def test_a_sweep_ends_with_its_answer_in_words(cli):
    out = " ".join(cli(*SWEEP, *NAMED, "--out", "run").out.split())
    words = out[out.index("Nothing was measured;") :]
    for told in (
        "6 layers in 1 setting",
        "Fastest of each kind: layer without a gate lu (",
        "GLU swiglu (",
        "naive MGLU mglu-naive nm=1 (",
        "MGLU mglu-numba-cpu nm=1 (",
        "Does MGLU pay here? Yes: mglu-numba-cpu with 1 mask is 1.",
        "times as fast as the fastest GLU, swiglu [1.",
        "What limits belief: The interval rests on",
    ):
        assert told in words
    assert words in " ".join(cli("report", "run", "--markdown").out.split())


def test_several_settings_are_counted(cli):
    out = " ".join(cli(*SWEEP, *NAMED, "--batch", "1,2", "--out", "run").out.split())
    assert "Does MGLU pay here? The fastest MGLU is faster than the fastest GLU in 2 of 2 settings" in out


def test_without_a_layer_there_is_no_paragraph(frame):
    assert paragraph(frame(make_row("read", [5.0] * 9, variant="stream-read", nm=0))) == ""


@pytest.mark.parametrize(
    ("fast", "slow", "certain"),
    [
        ([35.0] * 9, [90.0] * 9, True),
        ([35.0] * 8 + [95.0], [90.0] * 9, False),
        ([35.0] * 3, [90.0] * 9, False),
    ],
)
def test_only_what_is_certain_is_marked(frame, fast, slow, certain):
    rows = [
        make_row("mglu", fast, variant="mglu-numba-cpu", nm=1, **LAYER),
        make_row("mglu", slow, variant="mglu-naive", nm=1, **LAYER),
    ]
    latency = run_tables(frame(*rows))[0]
    assert {row["variant"]: row["best"] for row in latency.rows} == {"mglu-numba-cpu": certain, "mglu-naive": False}


def marks_of(table):
    return {row["variant"]: row["marks"] for row in table.rows}


def test_fewer_than_six_samples_have_no_interval_and_say_so(frame):
    latency = run_tables(frame(glu(90.0, 5), make_row("lu", [30.0] * 6, variant="lu", nm=0, **LAYER)))[0]
    few, enough = (next(row for row in latency.rows if row["variant"] == name) for name in ("swiglu", "lu"))
    assert few["noise"] != few["noise"]
    assert enough["noise"] == enough["noise"]
    assert marks_of(latency) == {"swiglu": "a", "lu": ""}
    assert "a: 5 samples: fewer than a 95 % interval needs, so there is none" in latency.notes


@pytest.mark.parametrize(("cache", "sure"), [(260 * MIB, False), (None, False), (32 * MIB, True)])
def test_a_walk_that_could_not_empty_the_caches_is_a_footnote(frame, cache, sure):
    _, words = walk_size(cache)
    assert bool(why_not_cold(words)) != sure
    latency = run_tables(frame(replace(glu(90.0), timer=words)))[0]
    assert marks_of(latency) == {"swiglu": "" if sure else "a"}
    assert (f"a: not surely cold: {words}" in latency.notes) != sure


def test_more_than_the_ceiling_says_so_beside_the_share(frame):
    read = make_row("read", [1e6] * 9, variant="stream-read", nm=0, **LAYER)
    memory = run_tables(frame(read, glu(1e6), make_row("lu", [1e9] * 9, variant="lu", nm=0, **LAYER)))[1]
    shown = {row["variant"]: row["share_of_ceiling"] for row in memory.rows}
    assert shown["swiglu"] > 1.5 > 1 > shown["lu"]
    assert marks_of(memory) == {"swiglu": "a", "lu": ""}
    assert memory.columns[-1].title == "note"
    assert any(note.startswith("a: more than 100 % of the ceiling") for note in memory.notes)
