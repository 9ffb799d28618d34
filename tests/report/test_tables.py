"""The tables of a run, from hand-made rows and as a stored picture of a fake run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mglubench
from mglubench.cases.config import build_spec
from mglubench.executors.fake import FakeSession
from mglubench.report import paper
from mglubench.report.render import to_markdown
from mglubench.report.summary import heading, runs_table, verify_tables
from mglubench.report.tables import run_tables
from mglubench.results.checked import Checked
from mglubench.results.metrics import derive
from mglubench.runner.plan import make_plan
from mglubench.runner.run import open_store, run_plan
from tests.conftest import make_case, make_row

SNAPSHOT = Path(__file__).with_name("fake_run.md")
LAYER = {"h": 2048, "d": 8192, "mode": "cold"}


def full_run():
    return [
        make_row("read", [40_000.0] * 9, variant="stream-read", nm=0, h=1000, d=1000, mode="cold"),
        make_row("glu", [70_000.0] * 9, variant="swiglu", nm=0, **LAYER),
        make_row("mglu", [700_000.0] * 9, nm=1, **LAYER),
        make_row("mglu", [35_000.0] * 9, variant="mglu-numba-cpu", nm=1, **LAYER),
        make_row("mglu", [], variant="mglu-numba-cpu", nm=8, status="crash", reason="the worker died", **LAYER),
    ]


def test_a_setting_has_its_tables_and_failures_come_last(frame):
    titles = [table.title.partition(":")[0] for table in run_tables(frame(*full_run()))]
    assert titles == ["Latency and speed-up", "Memory", "Beside the paper", "Not measured"]


def test_cells_hold_the_figures(frame):
    latency, memory, _, failed = run_tables(frame(*full_run()))
    cells = {tuple(latency.cells(row)[:2]): latency.cells(row) for row in latency.rows}
    assert cells["swiglu", ""][2:] == ["70.0", "0.0", "9", "-", "1.00"]
    assert cells["mglu-numba-cpu", "1"][2:] == ["35.0", "0.0", "9", "20.0", "2.00"]
    assert [row["variant"] for row in latency.rows if row["best"]] == ["mglu-numba-cpu"]
    assert "fastest GLU here: swiglu" in latency.notes
    numbers = {row["variant"]: memory.cells(row) for row in memory.rows}
    assert numbers["mglu-numba-cpu"][2:5] == ["67.11", "2.10", "0.00"]
    assert numbers["mglu-numba-cpu"][6] == "33.0"
    assert numbers["mglu-numba-cpu"][7].startswith("+48.")
    assert any("100.1 GB/s" in note for note in memory.notes)
    assert failed.cells(failed.rows[0])[:4] == ["mglu-numba-cpu", "8", "crash", "the worker died"]
    assert failed.rows[0]["where"].startswith("mglu-numba-cpu/2048x8192/nm8")


def test_what_cases_did_to_their_process_is_a_footnote_once(frame):
    notes = ["changed the umask 0022 -> 0777; restored", "left 1 child process running; ended"]
    rows = [make_row("mglu", [500.0] * 9, nm=nm, notes=notes[: 3 - nm]) for nm in (1, 2, 3)]
    latency = run_tables(frame(*rows))[0]
    beside = [column.key for column in latency.columns].index("latency_us") + 1
    assert [latency.cells(row)[beside] for row in latency.rows] == ["a", "b", ""]
    assert latency.notes[-2:] == [
        f"a: in the worker's process it {notes[0]}; {notes[1]}",
        f"b: in the worker's process it {notes[0]}",
    ]


def test_a_ceiling_alone_has_no_table(frame):
    assert run_tables(frame(full_run()[0])) == []


def test_without_a_glu_the_table_says_so(frame):
    latency = run_tables(frame(make_row("mglu", [500.0] * 9)))[0]
    assert any("no GLU was measured" in note for note in latency.notes)


@pytest.mark.parametrize("changed", [{"batch": 2}, {"h": 2049}])
def test_cells_that_the_paper_does_not_have_are_not_shown(frame, changed):
    tables = run_tables(frame(make_row("mglu", [500.0] * 9, nm=1, **{**LAYER, **changed})))
    assert not any(table.title.startswith("Beside the paper") for table in tables)


def test_the_papers_cells_are_the_stored_ones():
    assert len(paper.paper_latencies()) == 52
    assert paper.paper_latency("H100", 2048, 8192, 8, paper.KERNEL) == pytest.approx(48.3)
    assert paper.paper_latency("RTX 5090", 4096, 14336, 0, paper.GLU) == pytest.approx(153.0)
    assert paper.paper_latency("H100", 2048, 8192, 3, paper.KERNEL) is None
    assert paper.paper_ratio("H100", 2048, 8192, 8, paper.NAIVE) == pytest.approx(791.0 / 48.3)
    assert paper.paper_ratio("RTX 5090", 2048, 8192, 1, paper.GLU) == pytest.approx(30.6 / 20.2)
    assert paper.paper_ratio("A100", 2048, 8192, 1, paper.GLU) is None


def test_the_heading_names_the_machine_and_marks_a_fake(frame):
    real = frame(*full_run())
    assert heading(real)[0] == "cpu: hand-made CPU, 2 cores, 32 MiB last-level cache"
    assert any("torch 2.6.0" in line for line in heading(real))
    assert any("isolation" in line for line in heading(real))
    real.attrs["run"]["fake"] = True
    assert heading(real)[0].startswith("FAKE RUN")


def test_a_damaged_run_is_listed_with_what_is_wrong(frame, tmp_path):
    frame(*full_run())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    table = runs_table([tmp_path / "run", tmp_path / "bad"])
    assert table.cells(table.rows[0])[1:4] == ["2025-01-02T03:04:05", "5/3", "hand-made CPU"]
    assert "unreadable" in table.rows[1]["note"]


def test_verdicts_are_counted_per_variant_and_dtype():
    case = make_case(variant="lu", nm=0)
    verdicts = [
        Checked(case, "ok", "", 1e-7),
        Checked(make_case(variant="lu", nm=0, h=7), "wrong", "relative error", None),
        Checked(make_case(variant="swiglu", nm=0), "unavailable", "not here", None),
    ]
    summary, failed = verify_tables(verdicts)
    assert [summary.cells(row) for row in summary.rows] == [
        ["lu", "float32", "1/2", "1.0e-07", "1e-05", "WRONG"],
        ["swiglu", "float32", "0/0", "-", "1e-05", "not run"],
    ]
    assert [row["status"] for row in failed.rows] == ["wrong", "unavailable"]


def test_the_markdown_of_a_fake_run_is_the_stored_one(tmp_path):
    """To accept a change: run with UPDATE_SNAPSHOTS=1 and read the difference."""
    variants = "lu,swiglu,swiglu-merged,mglu-naive,mglu-premasked,mglu-numba-cpu"
    spec = build_spec({"shape": "2048x8192,1000x33", "nm": "1,8", "variants": variants, "dtype": "float16"})
    session = FakeSession({"mglu-premasked": "oom"})
    plan = make_plan(spec, session)
    with open_store(tmp_path / "run", plan, resume=False) as store:
        run_plan(plan, store, session)
    tables = run_tables(derive(mglubench.load(tmp_path / "run", samples=True)))
    markdown = "\n".join(map(to_markdown, tables))
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(markdown)
    assert markdown == SNAPSHOT.read_text()


def test_several_mask_distributions_have_a_column_and_a_best_each(frame):
    rows = [
        make_row("mglu", [35_000.0] * 9, variant="mglu-numba-cpu", nm=1, mask="ones", **LAYER),
        make_row("mglu", [30_000.0] * 9, variant="mglu-numba-cpu", nm=1, mask="bernoulli:0.5", **LAYER),
        make_row("mglu", [90_000.0] * 9, nm=1, mask="ones", **LAYER),
    ]
    latency, memory, *_ = run_tables(frame(*rows))
    assert [column.title for column in latency.columns][:3] == ["variant", "nm", "mask"]
    assert [column.title for column in memory.columns][:3] == ["variant", "nm", "mask"]
    best = {(row["variant"], row["mask"]) for row in latency.rows if row["best"]}
    assert best == {("mglu-numba-cpu", "ones"), ("mglu-numba-cpu", "bernoulli:0.5")}
