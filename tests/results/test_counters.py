"""Reports by hand become rows, rows become columns; the file of counters is as safe as the file of rows."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

import mglubench
from mglubench.errors import StoreError, UnavailableError, UsageError
from mglubench.hardware.counter_names import COUNTERS, Kernel, by_key
from mglubench.report.counter_rows import counters_table
from mglubench.results.counters import EMPTY_RANGE, FRAME_COLUMNS, failed_row, joined_row, latest
from mglubench.results.profile_files import read_profile
from mglubench.results.read_ncu import parse_csv, read_csv
from mglubench.results.read_ncu_rep import read_report
from mglubench.results.read_nsys import read_sqlite
from mglubench.results.rows import CounterRow
from mglubench.results.store import RunStore, read_counters, read_rows
from mglubench.results.timeline import Timeline
from mglubench.status import Status
from mglubench.system import lines
from tests.conftest import make_case, make_header, make_row
from tests.profilers.stub_nsys import write as write_timeline
from tests.results.ncu_rep import Launch, report

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
GLU = make_case(variant="swiglu", h=4096, d=14336, nm=0, dtype="float16", mode="cold", device="cuda:0").key
MGLU = make_case(variant="flash-mglu-packed", h=4096, d=14336, nm=4, dtype="float16", mode="cold", device="cuda:0").key
KEYS = [make_row("mglu", [], nm=nm).key for nm in (1, 2, 3)]

FULL = {name: 1.0 for counter in COUNTERS for name in counter.names[:1]}
READ = "dram__bytes_read.sum"


def row(key, read=None, status="ok", tool="ncu", reason=""):
    if status != "ok":
        return failed_row(tool, key, Status(status), reason, {})
    kernels = [Kernel("k", frozenset({key}), {**FULL, READ: read, "gpu__time_duration.sum": 5000.0})]
    return joined_row(tool, key, kernels, {"source": "hand"})


def without(metrics, name):
    return {known: value for known, value in metrics.items() if known != name}


@pytest.fixture
def run(tmp_path):
    """A run with three measured cases."""
    with RunStore.create(tmp_path / "run", make_header()) as store:
        for nm in (1, 2, 3):
            store.append(make_row("mglu", [100.0, 101.0, 102.0], nm=nm))
    return tmp_path / "run"


def test_a_raw_csv_is_read_past_logs_units_and_separators():
    kernels = by_key(read_csv(FIXTURES / "ncu_raw.csv"))
    assert set(kernels) == {GLU, MGLU}
    assert [kernel.name for kernel in kernels[GLU]] == ["gemv(half*, half*)", "gate(half*)"]
    glu, mglu = (joined_row("ncu", key, kernels[key], {}).figures for key in (GLU, MGLU))
    assert glu["dram_bytes_read"] == 240_060_000
    assert glu["dram_bytes_written"] == 32_000
    assert glu["l2_bytes_written"] == 32 * 1000
    assert glu["ncu_duration_us"] == 400
    assert glu["ncu_kernels"] == 2
    assert glu["dram_percent"] == pytest.approx((80 * 100 + 20 * 300) / 400)
    assert mglu["sm_percent"] == 40.25


def test_a_details_csv_with_scaled_units_gives_the_same_figures():
    raw, details = (by_key(read_csv(FIXTURES / f"ncu_{page}.csv"))[MGLU] for page in ("raw", "details"))
    raw_figures, figures = (joined_row("ncu", MGLU, kernels, {}).figures for kernels in (raw, details))
    for column in ("dram_bytes_read", "dram_bytes_written", "ncu_duration_us", "l2_bytes_read"):
        assert figures[column] == pytest.approx(raw_figures[column])
    assert figures["sm_percent"] is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no header line"),
        ("==ERROR== nothing\nhello\n", "no header line"),
        ('"ID","Kernel Name","dram__bytes_read.sum"\n"","","byte"\n"0","k","1"\n', "no NVTX column"),
        ('"ID","x Push/Pop_Range","dram__bytes_read.sum"\n', "no column 'Kernel Name'"),
        (
            '"ID","Push/Pop_Range","Kernel Name","dram__bytes_read.sum"\n"","","","furlong"\n"0","","k","1"\n',
            "unknown unit",
        ),
        ('"ID","Push/Pop_Range","Kernel Name","Metric Name"\n"0","","k","a"\n', "no column 'Metric Unit'"),
    ],
)
def test_a_csv_that_is_none_says_what_is_missing_and_how_to_export(tmp_path, text, complaint):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"{complaint}.*--page raw --print-units base"):
        read_csv(tmp_path / "x.csv")


def test_a_header_without_kernels_is_an_empty_report():
    assert parse_csv('"ID","Push/Pop_Range","Kernel Name","dram__bytes_read.sum"\n"","","","byte"\n') == []


def fake_ncu_report(kernels):
    """A module with the interface of NVIDIA's ``ncu_report``; its figures are synthetic."""

    class Thing:
        def __init__(self, **values):
            self.__dict__.update({name: (lambda *a, v=v: v(*a) if callable(v) else v) for name, v in values.items()})

    def action(name, ranges, metrics):
        domain = Thing(name="mglubench", push_pop_ranges=tuple(ranges), start_end_ranges=())
        other = Thing(name="torch", push_pop_ranges=("timed",), start_end_ranges=())
        state = Thing(domains=(0, 1), domain_by_id=lambda number: [other, domain][number])
        figures = {n: Thing(as_double=v, unit=unit, has_value=True) for n, (v, unit) in metrics.items()}
        return Thing(name=name, nvtx_state=lambda: state, metric_by_name=figures.get)

    actions = [action(*kernel) for kernel in kernels]
    part = Thing(num_actions=len(actions), action_by_idx=lambda index: actions[index])
    module = types.ModuleType("ncu_report")
    module.load_report = lambda path: Thing(num_ranges=1, range_by_idx=lambda index: part)
    return module


def test_an_ncu_rep_goes_through_nvidias_package(tmp_path, monkeypatch):
    metrics = {"dram__bytes_read.sum": (7.0, "Mbyte"), "gpu__time_duration.sum": (3.0, "us"), "other": (1.0, "bogus")}
    monkeypatch.setitem(sys.modules, "ncu_report", fake_ncu_report([("k(int)", [GLU, "timed"], metrics)]))
    (tmp_path / "x.ncu-rep").write_bytes(b"NVR")
    profile = read_profile(tmp_path / "x.ncu-rep")
    found = profile.cases
    assert profile.tool == "ncu"
    figures = joined_row("ncu", GLU, found[GLU], {}).figures
    assert (figures["dram_bytes_read"], figures["ncu_duration_us"]) == (7e6, 3.0)


def a_report():
    """Two kernels of one case, one of another, and one that torch launched in a range of its own."""
    first, second = {"dram__bytes_read.sum": 67.5e6, "gpu__time_duration.sum": 25_300.0}, {"dram__bytes_read.sum": 2e3}
    first["lts__t_sector_hit_rate.pct"] = 12.5
    second |= {"gpu__time_duration.sum": 1_300.0, "lts__t_sector_hit_rate.pct": 99.0}
    return report(
        [
            Launch("gemv", {"torch": ("timed",), "mglubench": (GLU, "timed")}, first),
            Launch("gate", {"mglubench": (GLU, "timed")}, second),
            Launch("flash_mglu_mma", {"mglubench": (MGLU, "timed")}, {"dram__bytes_read.sum": 5e7}),
            Launch("fill", {"torch": (MGLU, "timed")}, {"dram__bytes_read.sum": 1.0}),
        ]
    )


def test_a_report_in_nvidias_format_is_read_by_nvidias_package(tmp_path):
    pytest.importorskip("ncu_report")
    (tmp_path / "x.ncu-rep").write_bytes(a_report())
    profile = read_profile(tmp_path / "x.ncu-rep")
    found = profile.cases
    assert profile.tool == "ncu"
    assert set(found) == {GLU, MGLU}
    assert [kernel.name for kernel in found[GLU]] == ["gemv", "gate"]
    figures = joined_row("ncu", GLU, found[GLU], {}).figures
    assert figures["dram_bytes_read"] == 67_502_000
    assert figures["ncu_duration_us"] == pytest.approx(26.6)
    assert figures["l2_hit_percent"] == pytest.approx((12.5 * 25_300 + 99 * 1_300) / 26_600)
    assert figures["ncu_kernels"] == 2
    assert joined_row("ncu", MGLU, found[MGLU], {}).figures["dram_bytes_read"] == 5e7


def test_a_report_that_was_cut_is_one_line_and_nothing_beside_it(tmp_path, capfd):
    pytest.importorskip("ncu_report")
    good = a_report()
    for size in range(40, len(good), 97):
        (tmp_path / "x.ncu-rep").write_bytes(good[:size])
        with pytest.raises(UsageError) as caught:
            read_profile(tmp_path / "x.ncu-rep")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_the_csv_that_ncu_made_of_that_report_gives_the_same(tmp_path):
    pytest.importorskip("ncu_report")
    (tmp_path / "x.ncu-rep").write_bytes(a_report())
    from_report = read_profile(tmp_path / "x.ncu-rep").cases
    from_csv = by_key(read_csv(FIXTURES / "ncu_2022_3_raw.csv"))
    for key in (GLU, MGLU):
        rows = [joined_row("ncu", key, found[key], {}).figures for found in (from_report, from_csv)]
        assert rows[0] == pytest.approx(rows[1])


def test_without_the_package_the_message_says_how_to_get_it_or_do_without(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ncu_report", None)
    (tmp_path / "x.ncu-rep").write_bytes(b"NVR")
    with pytest.raises(UnavailableError, match=r"pip install mglubench\[profile\].*--import x.ncu-rep --csv"):
        read_report(tmp_path / "x.ncu-rep")


def test_junk_is_no_report(tmp_path):
    pytest.importorskip("ncu_report")
    (tmp_path / "x.ncu-rep").write_bytes(b"junk")
    with pytest.raises(UsageError, match=r"holds no profiled kernel"):
        read_report(tmp_path / "x.ncu-rep")


def test_a_timeline_gives_kernel_time_and_gaps_of_the_timed_range_alone(tmp_path):
    write_timeline(tmp_path / "t.sqlite", [GLU, MGLU], launches=4)
    found = read_sqlite(tmp_path / "t.sqlite")
    assert set(found) == {GLU, MGLU}
    assert (found[GLU].kernels, found[GLU].kernel_us, found[GLU].gap_us) == (4, 4.0, 0.5)


def test_a_range_with_one_kernel_has_no_gap(tmp_path):
    write_timeline(tmp_path / "t.sqlite", [GLU], launches=1)
    assert read_sqlite(tmp_path / "t.sqlite")[GLU].gap_us is None


def test_a_timeline_without_timed_ranges_counts_the_cases_range(tmp_path):
    import sqlite3

    write_timeline(tmp_path / "t.sqlite", [GLU], launches=2)
    with sqlite3.connect(tmp_path / "t.sqlite") as database:
        database.execute("DELETE FROM NVTX_EVENTS WHERE textId = 3")
    database.close()
    assert read_sqlite(tmp_path / "t.sqlite")[GLU].kernels == 3


@pytest.mark.parametrize("missing", ["NVTX_EVENTS", "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME"])
def test_tables_are_made_lazily(tmp_path, missing):
    import sqlite3

    write_timeline(tmp_path / "t.sqlite", [GLU], launches=2)
    with sqlite3.connect(tmp_path / "t.sqlite") as database:
        database.execute(f"DROP TABLE {missing}")
    database.close()
    found = read_sqlite(tmp_path / "t.sqlite")
    assert found == {} if missing == "NVTX_EVENTS" else found[GLU].kernels == 0


@pytest.mark.parametrize("name", ["x.sqlite", "x.txt", "x.nsys-rep", "gone.csv", "gone.sqlite"])
def test_other_files_are_refused_in_one_line(tmp_path, name):
    if not name.startswith("gone"):
        (tmp_path / name).write_text("this is no database")
    with pytest.raises(UsageError) as caught:
        read_profile(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_case_without_a_kernel_says_so():
    for found in (None, []):
        said = joined_row("ncu", GLU, found, {})
        assert said.status == "no-kernel"
        assert said.reason.startswith("no kernel matched")


def test_withheld_counters_are_gaps_with_a_reason():
    nothing = Kernel("k", frozenset({GLU}), {})
    said = joined_row("ncu", GLU, [nothing], {})
    assert said.status == "no-value"
    assert "MIG" in said.reason
    partly = joined_row("ncu", GLU, [Kernel("k", frozenset(), {"gpu__time_duration.sum": 1.0})], {})
    assert partly.status == "partial"
    assert "dram_bytes_read" in partly.reason
    assert partly.figures["ncu_duration_us"] == 1e-3


@pytest.mark.parametrize(
    ("kernels", "cause"),
    [
        ([Kernel("k", frozenset(), FULL)], ""),
        ([Kernel("k", frozenset(), {**FULL, READ: float("nan")})], "not finite"),
        ([Kernel("k", frozenset(), without(FULL, READ))], "dram_bytes_read: not in the report"),
        (
            [Kernel("k", frozenset(), without(FULL, READ), frozenset({READ}))],
            "dram_bytes_read: the report has no figure",
        ),
        (
            [Kernel("k", frozenset(), FULL), Kernel("k", frozenset(), without(FULL, READ))],
            "only 1 of 2 kernels have it",
        ),
    ],
)
def test_ok_needs_every_counter_and_each_cause_has_its_sentence(kernels, cause):
    said = joined_row("ncu", GLU, kernels, {})
    assert said.status == ("partial" if cause else "ok")
    assert cause in said.reason
    assert bool(said.reason) == bool(cause)
    assert (said.figures["dram_bytes_read"] is None) == bool(cause)
    assert said.figures["dram_bytes_written"] == len(kernels)


def test_a_partial_row_hides_no_full_one_and_is_hidden_by_no_failure(run):
    whole = joined_row("ncu", KEYS[0], [Kernel("k", frozenset(), FULL)], {})
    part = joined_row("ncu", KEYS[0], [Kernel("k", frozenset(), without(FULL, READ))], {})
    failed = row(KEYS[0], status="permission")
    assert latest([whole, part, failed])["ncu"][KEYS[0]] == whole
    assert latest([part, failed])["ncu"][KEYS[0]] == part
    assert latest([failed, part, whole])["ncu"][KEYS[0]] == whole
    with RunStore.resume(run) as store:
        store.append_counters(part)
    frame = mglubench.load(run)
    assert frame.loc[0, "dram_bytes_written"] == 1
    assert "dram_bytes_read" in frame.loc[0, "counters_reason"]


def test_a_row_of_before_with_gaps_is_not_a_whole_one():
    old = CounterRow(GLU, "ncu", Status.OK, "no value for dram_bytes_read", {"dram_bytes_read": None})
    whole = row(GLU, 2.0)
    assert latest([whole, old])["ncu"][GLU] == whole
    assert latest([old, row(GLU, status="crash")])["ncu"][GLU] == old


def test_a_timeline_with_gaps_is_partial_and_keeps_what_it_has():
    graphs = Timeline(None, None, None, 2, 0.7, "2 graphs")
    said = joined_row("nsys", GLU, graphs, {"launches": 2})
    assert (said.status, said.reason) == ("partial", "2 graphs")
    assert (said.figures["nsys_graphs"], said.figures["nsys_graph_us"]) == (2, 0.7)
    shown = counters_table([said], "nsys")
    assert "graph us" in [column.title for column in shown.columns]
    assert any("partial" in note for note in shown.notes)
    assert joined_row("nsys", GLU, Timeline(None, 3, None, reason="2 of 3"), {}).figures["nsys_kernels"] == 3
    assert joined_row("nsys", GLU, Timeline(0.3, 3, None), {"launches": 2}).status == "error"
    assert joined_row("nsys", GLU, Timeline(0.0, 0, None), {}).reason == f"no kernel matched: {EMPTY_RANGE}"
    assert joined_row("nsys", GLU, Timeline(None, 0, None, reason="why"), {}).reason == "no kernel matched: why"


def test_kernels_that_are_no_multiple_of_the_launches_are_no_figures():
    kernels = [Kernel("k", frozenset(), {"gpu__time_duration.sum": 1.0})] * 5
    assert joined_row("ncu", GLU, kernels, {"launches": 2}).status == "error"
    assert joined_row("ncu", GLU, kernels, {"launches": 5}).figures["ncu_kernels"] == 1


def test_the_latest_row_counts_but_a_failure_hides_no_figures():
    rows = [
        row(GLU, 1.0),
        row(GLU, 2.0),
        row(GLU, status="permission"),
        row(MGLU, status="crash"),
        row(MGLU, status="busy"),
    ]
    kept = latest(rows)["ncu"]
    assert kept[GLU].figures["dram_bytes_read"] == 2.0
    assert kept[MGLU].status == "busy"
    assert latest([row(MGLU, status="crash"), row(MGLU, 3.0)])["ncu"][MGLU].status == "ok"


def test_frames_join_by_key_never_by_position(run):
    with RunStore.resume(run) as store:
        store.append_counters(row(KEYS[2], 300.0))
        store.append_counters(row(KEYS[0], 100.0))
        store.append_counters(row("unknown/seed0", 999.0))
        store.append_counters(row(KEYS[1], status="permission", reason="not permitted"))
    frame = mglubench.load(run).set_index("key")
    assert frame.loc[KEYS[0], "dram_bytes_read"] == 100
    assert frame.loc[KEYS[2], "dram_bytes_read"] == 300
    assert frame.loc[KEYS[2], "ncu_kernels"] == 1
    assert frame.loc[KEYS[1], list(FRAME_COLUMNS)].isna().all()
    assert frame.loc[KEYS[1], "counters_reason"] == "not permitted"
    assert len(frame) == 3


def test_without_a_profile_the_columns_are_gaps_with_a_reason(run):
    frame = mglubench.load(run)
    assert set(FRAME_COLUMNS) < set(frame.columns)
    assert frame[list(FRAME_COLUMNS)].isna().all(axis=None)
    assert set(frame["counters_reason"]) == {"not profiled"}


def test_profiled_durations_are_no_latencies(run):
    before = mglubench.load(run)
    with RunStore.resume(run) as store:
        store.append_counters(row(KEYS[0], 1.0))
    after = mglubench.load(run)
    # What is derived of counted bytes follows the counters.
    counted = [*FRAME_COLUMNS, "counters_reason", *(c for c in before.columns if c.startswith(("dram_", "l2_")))]
    timing = [c for c in before.columns if c not in counted]
    assert after[timing].equals(before[timing])
    assert after.loc[0, "ncu_duration_us"] == 5.0


def test_both_tools_share_a_case(run, tmp_path):
    write_timeline(tmp_path / "t.sqlite", [KEYS[0]], launches=2)
    with RunStore.resume(run) as store:
        store.append_counters(row(KEYS[0], 1.0))
        store.append_counters(joined_row("nsys", KEYS[0], read_sqlite(tmp_path / "t.sqlite")[KEYS[0]], {"launches": 2}))
        store.append_counters(joined_row("nsys", KEYS[1], read_sqlite(tmp_path / "t.sqlite")[KEYS[0]], {"launches": 2}))
    frame = mglubench.load(run)
    assert (frame.loc[0, "dram_bytes_read"], frame.loc[0, "nsys_kernel_us"], frame.loc[0, "nsys_launches"]) == (1, 2, 2)
    assert frame.loc[1, "counters_reason"] == "not profiled"


def test_counters_are_synced_and_leave_the_rows_alone(run, monkeypatch):
    before = (run / "rows.jsonl").read_bytes()
    synced = []
    with RunStore.resume(run) as store:
        monkeypatch.setattr(lines.os, "fsync", synced.append)
        store.append_counters(row(KEYS[0], 1.0))
    assert len(synced) == 1
    assert (run / "rows.jsonl").read_bytes() == before
    assert [entry.key for entry in read_counters(run)] == [KEYS[0]]


def test_a_run_that_is_not_profiled_has_no_file_of_counters(run):
    RunStore.resume(run).close()
    assert not (run / "counters.jsonl").exists()
    assert list(read_counters(run)) == []


def test_a_torn_line_of_counters_is_dropped_and_the_rest_kept(run):
    with RunStore.resume(run) as store:
        store.append_counters(row(KEYS[0], 1.0))
        store.append_counters(row(KEYS[1], 2.0))
    path = run / "counters.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=r"counters.jsonl: the last row was cut short"):
        assert [entry.key for entry in read_counters(run)] == [KEYS[0]]
    with RunStore.resume(run) as store, pytest.warns(UserWarning, match=r"is dropped"):
        store.append_counters(row(KEYS[2], 3.0))
    assert [entry.key for entry in read_counters(run)] == [KEYS[0], KEYS[2]]
    assert len(list(read_rows(run))) == 3


def test_a_full_disk_leaves_no_half_row_of_counters(run, monkeypatch):
    with RunStore.resume(run) as store:
        store.append_counters(row(KEYS[0], 1.0))

        def fail(fd):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(lines.os, "fsync", fail)
        with pytest.raises(StoreError, match=r"counters.jsonl: No space left"):
            store.append_counters(row(KEYS[1], 1.0))
        monkeypatch.undo()
    assert [entry.key for entry in read_counters(run)] == [KEYS[0]]


def test_a_damaged_line_in_the_middle_is_named_and_left_out(run):
    good = [json.dumps(row(key, 1.0).to_dict()) for key in KEYS[:2]]
    (run / "counters.jsonl").write_text("\n".join([good[0], "{}", good[1], ""]))
    with pytest.warns(UserWarning, match=r"counters.jsonl, line 2: damaged row"):
        frame = mglubench.load(run)
    assert frame["dram_bytes_read"].notna().tolist() == [True, True, False]


@pytest.mark.parametrize("changes", [{"figures": 5}, {"figures": None}, {"tool": None, "key": []}])
def test_a_row_of_another_shape_is_no_traceback(run, changes):
    (run / "counters.jsonl").write_text(json.dumps({**row(KEYS[0], 1.0).to_dict(), **changes}) + "\n")
    with pytest.warns(UserWarning, match=r"counters.jsonl, line 1: damaged row.*Expected"):
        assert mglubench.load(run)["dram_bytes_read"].isna().all()


def test_two_processes_do_not_write_counters_at_once(run):
    with RunStore.resume(run), pytest.raises(StoreError, match=r"is being written by another process"):
        RunStore.resume(run)
