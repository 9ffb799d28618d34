"""Timelines with the gaps and oddities of real ones: the right figure, or none and a sentence that is true."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from mglubench.errors import UsageError
from mglubench.results.read_nsys import read_nsys, read_sqlite
from tests.conftest import make_case
from tests.results.nsys_export import CAPTURE, GRAPH_LAUNCH, TABLES, TID, Export

KEY = make_case(variant="flash-mglu-packed", nm=4, device="cuda:0").key
OTHER = make_case(variant="swiglu", nm=0, device="cuda:0").key
NVTX, CALLS, KERNELS, GRAPHS = list(TABLES)[1:]


@pytest.fixture
def one(tmp_path):
    """The timeline of KEY in an export."""

    def read(export):
        return read_sqlite(export.write(tmp_path / "t.sqlite"))[KEY]

    return read


def three(**options):
    """Three kernels of 100 ns, 50 ns apart, in one range."""
    export = Export(**options).range(KEY, 0, 1000)
    for number in range(3):
        export.launch(100 + 20 * number, (200 + 150 * number, 300 + 150 * number))
    return export


def test_a_sound_timeline_has_its_figures_and_no_reason(one):
    found = one(three())
    assert (found.kernels, found.kernel_us, found.gap_us, found.reason) == (3, 0.3, 0.05, "")


@pytest.mark.parametrize(
    "bad", [(0, 0), (400, 350), (400, 400), (0, 300), (-5, 90), (None, 300), (200, None), ("x", 9)]
)
def test_a_record_without_a_usable_time_makes_no_total_smaller(one, bad):
    found = one(Export().range(KEY, 0, 1000).launch(100, (200, 300)).launch(120, bad).launch(140, (0, 0)))
    assert (found.kernels, found.kernel_us, found.gap_us) == (3, None, None)
    assert "2 of 3 launches have no usable time" in found.reason


def test_a_kernel_that_ended_before_its_call_has_no_usable_time(one):
    assert one(Export().range(KEY, 0, 1000).launch(500, (200, 300))).kernel_us is None


def test_graphs_recorded_as_one_piece_give_their_time_and_how_to_see_kernels(one):
    export = Export().range(KEY, 0, 1000)
    export.launch(100, (200, 700), graph=True, name=GRAPH_LAUNCH).launch(300, (700, 900), graph=True, name=GRAPH_LAUNCH)
    found = one(export)
    assert (found.graphs, found.graph_us, found.kernels, found.kernel_us) == (2, 0.7, None, None)
    assert "2 CUDA graphs were recorded as one piece" in found.reason
    assert "--cuda-graph-trace=node" in found.reason


def test_a_graph_without_a_time_has_none(one):
    found = one(Export().range(KEY, 0, 1000).launch(100, (0, 0), graph=True, name=GRAPH_LAUNCH))
    assert (found.graphs, found.graph_us) == (1, None)
    assert "no usable time" in found.reason


def test_a_graph_recorded_by_node_counts_its_kernels(one):
    found = one(Export().range(KEY, 0, 1000).launch(100, (200, 300), (300, 450), name=GRAPH_LAUNCH))
    assert (found.kernels, found.kernel_us, found.graphs) == (2, 0.25, None)


def test_a_start_end_range_holds_what_any_thread_of_its_process_launches(one):
    export = Export().range(KEY, 0, 1000, kind=60).launch(100, (200, 300), tid=TID + 1)
    export.launch(120, (300, 900), tid=(8 << 24) | 9, pid=8 << 24)
    assert (one(export).kernels, one(export).kernel_us) == (1, 0.1)


def test_a_push_pop_range_holds_what_its_own_thread_launches(one):
    assert one(Export().range(KEY, 0, 1000).launch(100, (200, 300), tid=TID + 1)).kernels == 0


def test_a_timed_phase_may_be_a_start_end_range(one):
    export = Export().range(KEY, 0, 1000, kind=60).range("timed", 50, 900, kind=60, tid=TID + 1)
    export.launch(10, (20, 30)).launch(100, (200, 300), tid=TID + 2)
    assert (one(export).kernels, one(export).kernel_us) == (1, 0.1)


def test_kernels_outside_the_timed_phase_are_told_from_none(one):
    found = one(Export().range(KEY, 0, 1000).range("timed", 500, 900).launch(10, (20, 30)))
    assert found.kernels == 0
    assert "none in its timed phase" in found.reason


def test_ids_of_threads_may_be_below_zero(one):
    tid, pid = TID - (1 << 63), (TID - (1 << 63)) >> 24 << 24
    found = one(Export().range(KEY, 0, 1000, tid=tid).launch(100, (200, 300), tid=tid, pid=pid))
    assert (found.kernels, found.kernel_us) == (1, 0.1)


def test_a_kernel_that_several_ranges_claim_is_nobodys(tmp_path):
    export = Export().range(KEY, 0, 1000, kind=60).range(OTHER, 0, 1000, kind=60, tid=TID + 1)
    export.launch(100, (200, 300)).launch(120, (300, 400), tid=TID + 2)
    found = read_sqlite(export.write(tmp_path / "t.sqlite"))
    assert [found[key].kernel_us for key in (KEY, OTHER)] == [None, None]
    assert all("start/end ranges of several cases" in found[key].reason for key in (KEY, OTHER))
    assert found[KEY].kernels == 1


def test_the_own_threads_range_comes_before_a_start_end_range(tmp_path):
    export = Export().range(KEY, 0, 1000, kind=60, tid=TID + 1).range(OTHER, 50, 500).launch(100, (200, 300))
    found = read_sqlite(export.write(tmp_path / "t.sqlite"))
    assert (found[KEY].kernels, found[OTHER].kernels) == (0, 1)


@pytest.mark.parametrize("number", [4, 0])
def test_names_by_id_and_other_domains(one, number):
    export = Export().range(KEY, 0, 1000, by_id=True).range("mglubench", 0, None, kind=75)
    export.range("timed", 300, 400, domain=number).launch(100, (200, 300))
    assert one(export).kernels == 1


def test_an_empty_text_beside_an_id_is_no_name(tmp_path):
    path = Export().range(KEY, 0, 1000, by_id=True).launch(100, (200, 300)).write(tmp_path / "x.sqlite")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE NVTX_EVENTS SET text = ''")
        database.commit()
    assert read_sqlite(path)[KEY].kernels == 1


@pytest.mark.parametrize(
    ("end", "reason"), [(None, "no end in the report"), (-1, "ends before it begins"), ("x", "ends before it begins")]
)
def test_a_range_without_a_usable_end_says_so(one, end, reason):
    found = one(Export().range(KEY, 50, end).launch(100, (200, 300)))
    assert found.kernels == 0
    assert reason in found.reason
    both = one(Export().range(KEY, 50, end).range(KEY, 500, 900).launch(600, (700, 800)))
    assert (both.kernels, both.kernel_us) == (1, None)


def test_a_kernel_whose_call_is_missing_leaves_no_total(one):
    found = one(three().launch(0, (400, 500), call=False))
    assert found.kernel_us is None
    assert "1 kernels have no launch call" in found.reason
    assert one(three().launch(0, (4000, 5000), call=False)).kernel_us == 0.3
    assert one(three().launch(0, (400, 500), call=False, pid=8 << 24)).kernel_us == 0.3


def test_a_call_without_a_time_is_no_call(one):
    assert one(three().launch(0, (400, 500))).kernel_us is None


def test_a_launch_without_a_kernel_leaves_no_total(one):
    found = one(three().launch(200))
    assert found.kernel_us is None
    assert "1 launch calls have no kernel" in found.reason
    assert one(three().launch(200, result=700)).kernel_us == 0.3
    assert one(three().launch(200).launch(190, name=CAPTURE)).kernel_us == 0.3
    assert one(three().launch(2000)).kernel_us == 0.3


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ((KERNELS, GRAPHS), "no CUDA kernel was recorded at all"),
        ((CALLS,), "kernels but no calls"),
        ((CALLS, KERNELS, GRAPHS), "no CUDA kernel was recorded at all"),
    ],
)
def test_a_missing_table_is_told(one, missing, reason):
    found = one(three(without=missing))
    assert found.kernels == 0
    assert reason in found.reason
    assert "--trace=cuda,nvtx" in found.reason


@pytest.mark.parametrize(
    ("export", "reason"),
    [
        (Export(without=(NVTX, CALLS, KERNELS, GRAPHS)), "neither CUDA nor NVTX"),
        (three(without=(NVTX,)), r"no NVTX ranges \(3 kernels belong to nothing\)"),
        (Export().range("forward", 0, 9), "neither kernels nor a range"),
        (Export().range("forward", 0, 999).launch(100, (200, 300)), "1 kernels, but no range that is named by a case"),
    ],
)
def test_a_report_without_cases_says_why(tmp_path, export, reason):
    import re

    found = read_nsys(export.write(tmp_path / "t.sqlite"))
    assert found.cases == {}
    assert re.search(reason, found.why_empty)


@pytest.mark.parametrize(
    "column", ["textId", "domainId", "eventType", "globalTid", "globalPid", "nameId", "returnValue"]
)
def test_columns_that_older_exports_lack(one, column):
    found = one(three(drop_columns=[column]))
    assert (found.kernels, found.kernel_us, found.reason) == (3, 0.3, "")


@pytest.mark.parametrize("column", ["start", "end", "correlationId"])
def test_a_column_that_is_needed_is_named(tmp_path, column):
    with pytest.raises(UsageError, match=rf"has no column {column}"):
        read_nsys(three(drop_columns=[column]).write(tmp_path / "t.sqlite"))


@pytest.mark.parametrize("suffix", ["_1", "2", "_V3"])
def test_tables_with_a_suffix_are_read(one, suffix):
    found = one(three(suffix=suffix))
    assert (found.kernels, found.kernel_us, found.reason) == (3, 0.3, "")


def test_parts_of_a_merged_export_are_kept_apart(tmp_path):
    path = three(suffix="_1").write(tmp_path / "t.sqlite")
    with closing(sqlite3.connect(path)) as database:
        for table in (NVTX, CALLS, KERNELS):
            database.execute(f"CREATE TABLE {table}_2 AS SELECT * FROM {table}_1")
        database.execute(f"UPDATE {NVTX}_2 SET text = ?", (OTHER,))
        database.commit()
    found = read_sqlite(path)
    assert [found[key].kernel_us for key in (KEY, OTHER)] == [0.3, 0.3]
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE {NVTX}_2 SET text = ?", (KEY,))
        database.commit()
    (both,) = read_sqlite(path).values()
    assert (both.kernels, both.kernel_us) == (6, None)


@pytest.mark.parametrize(
    "name", ["a#b.sqlite", "a?b=c.sqlite", "100%.sqlite", "a%20b.sqlite", "a b.sqlite", "ü\u4e2d.sqlite"]
)
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_odd_paths_open_and_nothing_is_made(tmp_path, name, mode):
    folder = tmp_path / name.removesuffix(".sqlite")
    folder.mkdir()
    path = three().write(folder / name)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert read_sqlite(path)[KEY].kernel_us == 0.3
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_an_export_that_is_being_written_is_told(tmp_path):
    path = three().write(tmp_path / "t.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UsageError, match=r"being written by another program"):
            read_nsys(path)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=wal")
        writer.execute(f"DELETE FROM {KERNELS}")
        writer.commit()
        with pytest.raises(UsageError, match=r"t.sqlite-wal holds changes that are not in it yet"):
            read_nsys(path)
    (tmp_path / "link.sqlite").symlink_to(path)
    path.with_name("t.sqlite-journal").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"t.sqlite-journal holds a change that was not finished"):
        read_nsys(tmp_path / "link.sqlite")
    with pytest.raises(UsageError, match=r"t.sqlite-journal holds a change that was not finished"):
        read_nsys(path)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"SQLite for"), r"no SQLite file \(cut short\)"),
        (lambda path: path.write_text("ID,name"), "no SQLite file;"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4096]), "was cut short"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)),
            "is damaged",
        ),
    ],
)
def test_files_that_are_no_export_are_told_apart(tmp_path, make, complaint):
    path = three().write(tmp_path / "t.sqlite")
    make(path)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_nsys(path)
    assert "nsys export" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (None, "an empty database"),
        ("people", "no export of Nsight Systems"),
        ("CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL", "nvprof"),
    ],
)
def test_databases_of_others_are_told_apart(tmp_path, table, complaint):
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as database:
        database.execute(f"CREATE TABLE {table or 'x'} (id INT)")
        if table is None:
            database.execute("DROP TABLE x")
        database.commit()
    with pytest.raises(UsageError, match=complaint):
        read_nsys(tmp_path / "t.sqlite")
