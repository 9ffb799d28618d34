"""The profile and import commands from end to end, against stand-ins for ncu and nsys; all figures are synthetic."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import mglubench
from mglubench.cases.vocabulary import CEILINGS
from mglubench.results.store import RunStore, read_counters, read_rows
from mglubench.runner import profile as profile_module
from tests.conftest import make_header, make_row
from tests.profilers.stub_nsys import write as write_timeline

STUBS = Path(__file__).resolve().parent.parent / "profilers"
FIXTURES = STUBS.parent / "fixtures"
SWEEP = ("--executor", "fake", "--h", "64", "--d", "96", "--nm", "1,2", "--variants", "swiglu,mglu-naive")
FAKE = ("--executor", "fake")
CASES = 9  # four ceilings, two reads of the shape's own matrix, swiglu, mglu-naive of nm 1 and 2


def program(folder, stub):
    """A stub as a program of its own."""
    path = folder / stub.removeprefix("stub_").removesuffix(".py")
    path.write_text(f"#!{sys.executable}\n" + (STUBS / stub).read_text())
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stand-ins of both tools, and a fake session with a GPU."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("MGLUBENCH_NCU", program(folder, "stub_ncu.py"))
    monkeypatch.setenv("MGLUBENCH_NSYS", program(folder, "stub_nsys.py"))
    monkeypatch.setenv("STUB_NCU_CALLS", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv("MGLUBENCH_FAKE_CUDA", "1")
    return monkeypatch


@pytest.fixture
def run(cli, tools, tmp_path):
    """A run of the fake executor on a fake GPU."""
    assert cli("sweep", *SWEEP, "--out", "run").code == 0
    return tmp_path / "run"


def counters(run):
    return {row.key.split("/")[0] + row.key.split("/")[2]: row for row in read_counters(run)}


def statuses(run):
    return {row.status for row in read_counters(run)}


def test_a_run_is_profiled_and_every_case_has_its_own_figures(cli, run):
    times = (run / "rows.jsonl").read_bytes()
    result = cli("profile", str(run), *FAKE)
    assert result.code == 0, result.err
    assert f"{CASES} of {CASES} cases profiled" in result.err
    assert (run / "rows.jsonl").read_bytes() == times
    frame = mglubench.load(run).set_index("key")
    assert frame["ncu_kernels"].tolist() == [1.0] * CASES
    order = [row.key for row in read_rows(run) if row.layer not in CEILINGS]
    assert [frame.loc[key, "dram_bytes_read"] for key in order] == [3000.0, 4000.0, 5000.0]
    assert set(frame["l2_bytes_read"]) == {320.0}
    assert set(frame["ncu_duration_us"]) == {2.0}
    assert {row.how["source"] for row in read_counters(run)} == {f"profiles/ncu-00{k}.csv" for k in (1, 2, 3, 4)}
    for name in ("ncu-001.ncu-rep", "ncu-001.csv", "ncu-002.ncu-rep"):
        assert (run / "profiles" / name).stat().st_size


def test_the_command_line_is_what_the_documentation_asks_for(cli, run, tmp_path):
    cli("profile", str(run), *FAKE)
    first = json.loads((tmp_path / "calls.jsonl").read_text().splitlines()[0])
    for words in (
        ["--clock-control", "none"],
        ["--cache-control", "all"],
        ["--nvtx-include", "mglubench@timed/"],
        ["-m", "mglubench.profilers.target"],
    ):
        assert words in [first[i : i + 2] for i in range(len(first))]
    assert "--nvtx" in first
    assert "dram__bytes_read.sum" in first[first.index("--metrics") + 1].split(",")


def test_hot_cases_are_counted_with_warm_caches(cli, tools, tmp_path):
    cli("profile", *SWEEP, "--mode", "hot", "--out", "hot")
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [call[call.index("--cache-control") + 1] for call in calls] == ["all", "all", "all", "none"]
    by_mode = {row.key.split("/")[7]: row.how["cache_control"] for row in read_counters(tmp_path / "hot")}
    assert by_mode == {"cold": "all", "hot": "none"}


def test_names_come_from_what_this_ncu_lists(cli, run, tools):
    tools.setenv("STUB_NCU_LISTS", "dram__bytes_op_read dram__bytes_op_write")
    assert cli("profile", str(run), *FAKE).code == 0
    assert mglubench.load(run)["dram_bytes_read"].notna().all()


def test_a_sweep_is_profiled_into_a_new_folder_and_timed_later(cli, tools, tmp_path):
    assert cli("profile", *SWEEP, "--out", "new").code == 0
    assert list(read_rows(tmp_path / "new")) == []
    assert cli("sweep", *SWEEP, "--out", "new", "--resume").code == 0
    assert mglubench.load(tmp_path / "new")["dram_bytes_read"].notna().all()


def test_a_sweep_is_profiled_into_its_run(cli, run):
    assert cli("profile", *SWEEP, "--out", "run").code == 0
    assert mglubench.load(run)["dram_bytes_read"].notna().all()
    other = cli("profile", *SWEEP, "--nm", "8", "--out", "run")
    assert other.code == 2
    assert "holds another sweep" in other.err


def test_several_kernels_of_a_case_add_up(cli, run, tools):
    tools.setenv("STUB_NCU", "two-kernels")
    assert cli("profile", str(run), *FAKE).code == 0
    frame = mglubench.load(run).set_index("key")
    order = [row.key for row in read_rows(run) if row.layer not in CEILINGS]
    assert [frame.loc[key, "dram_bytes_read"] for key in order] == [6000.0, 8000.0, 10000.0]
    assert set(frame["ncu_kernels"]) == {2.0}
    assert set(frame["dram_percent"]) == {50.5}


@pytest.mark.parametrize(
    ("mode", "status", "advice"),
    [
        ("permission", "permission", "NVreg_RestrictProfilingToAdminUsers=0"),
        ("busy", "busy", "dcgmi profile --pause"),
        ("attached", "busy", "end it"),
        ("mig", "mig", "whole GPU"),
        ("unknown-metric", "unknown-metric", "update Nsight Compute"),
        ("silent", "crash", "exit code 9: Segmentation fault"),
        ("empty", "no-kernel", "no kernel matched"),
        ("empty", "no-kernel", "the report is not there: ==WARNING== No kernels were profiled"),
        ("empty-report", "no-kernel", "the report is not there"),
        ("driver", "unavailable", "said: ==ERROR== An error was reported by the driver: ==ERROR== Cuda driver is not"),
        ("mystery", "crash", "exit code 1: ==ERROR== The moon is full."),
        ("killed", "crash", "killed by signal 9 (SIGKILL)"),
        ("dies", "crash", "error code 11"),
        ("wrong-filter", "no-kernel", "no kernel matched"),
        ("nan", "no-value", "MIG"),
        ("garbage", "garbage", 'no header line that begins with "ID"'),
        ("garbage-report", "garbage", "no header line"),
        ("no-nvtx", "garbage", "no NVTX column"),
    ],
)
def test_every_failure_is_a_row_with_a_reason_and_the_times_survive(cli, run, tools, mode, status, advice):
    times = (run / "rows.jsonl").read_bytes()
    tools.setenv("STUB_NCU", mode)
    result = cli("profile", str(run), *FAKE)
    assert result.code == 1
    assert "Traceback" not in result.err
    rows = list(read_counters(run))
    assert len(rows) == CASES
    assert {row.status for row in rows} == {status}
    assert all(advice in row.reason and "\n" not in row.reason for row in rows)
    assert (run / "rows.jsonl").read_bytes() == times
    frame = mglubench.load(run)
    assert frame["dram_bytes_read"].isna().all()
    assert frame["latency_us"].notna().all()
    assert advice in frame["counters_reason"].iloc[0]


@pytest.mark.parametrize("mode", ["permission", "busy", "unknown-metric", "silent", "driver", "mystery", "killed"])
def test_a_failure_of_the_machine_is_not_tried_again_for_every_setting(cli, run, tools, tmp_path, mode):
    tools.setenv("STUB_NCU", mode)
    cli("profile", str(run), *FAKE)
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 1


def test_an_error_beside_figures_marks_them(cli, run, gpu_run, tools, tmp_path):
    tools.setenv("STUB_NCU", "failed-kernel")
    assert cli("profile", str(run), *FAKE).code == 0
    assert statuses(run) == {"partial"}
    assert all('may be missing: ==ERROR== Failed to profile "gemv"' in row.reason for row in read_counters(run))
    (tmp_path / "x.csv").write_text((FIXTURES / "ncu_raw.csv").read_text() + '==ERROR== Failed to profile "gemv"\n')
    cli("import", str(tmp_path / "x.csv"), "--run", str(gpu_run))
    assert statuses(gpu_run) == {"partial"}


def test_a_part_of_the_kernels_is_no_report(cli, run, tools):
    tools.setenv("STUB_NCU", "half")
    cli("profile", str(run), *FAKE)
    rows = [row for row in read_counters(run) if row.status != "ok"]
    assert {row.status for row in rows} == {"garbage"}
    assert all("could not read back: it ended with exit code 9" in row.reason for row in rows)


def test_a_crash_that_meets_two_cases_alike_is_not_tried_on_a_third(cli, run, tools, tmp_path):
    tools.setenv("STUB_NCU", "dies")
    cli("profile", str(run), *FAKE)
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 2
    assert sum("not tried, as two cases" in row.reason for row in read_counters(run)) == CASES - 2


def test_counters_that_are_withheld_are_named_with_the_cause(cli, run, tools):
    tools.setenv("STUB_NCU", "withheld")
    result = cli("profile", str(run), *FAKE)
    assert result.code == 0
    assert f"0 of {CASES} cases profiled, {CASES} more in part" in result.err
    assert statuses(run) == {"partial"}
    reason = next(iter(read_counters(run))).reason
    assert reason.startswith("no value for l2_bytes_read, l2_bytes_written, l2_hit_percent: the report has no figure")
    assert "split by MIG" in reason
    frame = mglubench.load(run)
    assert frame["dram_bytes_read"].notna().all()
    assert frame["l2_bytes_read"].isna().all()


def test_a_crash_costs_its_case_alone(cli, run, tools, tmp_path):
    tools.setenv("STUB_NCU", "crash:swiglu")
    assert cli("profile", str(run), *FAKE).code == 1
    rows = counters(run)
    assert rows["swiglunm0"].status == "crash"
    assert "error code 11" in rows["swiglunm0"].reason
    assert {row.status for name, row in rows.items() if name != "swiglunm0"} == {"ok"}
    # Three groups of ceilings, the group with its crash, and the group without the culprit.
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 5


def test_a_case_that_the_target_refuses_keeps_its_reason(cli, run, tools):
    tools.setenv("STUB_NCU", "fails:mglu-naive")
    assert cli("profile", str(run), *FAKE).code == 0
    row = counters(run)["mglu-naivenm1"]
    assert (row.status, row.reason) == ("unsupported", "nm is above 8")
    assert counters(run)["swiglunm0"].status == "ok"


def test_a_hang_is_killed_and_charged_to_the_case_that_was_worked_on(cli, tools, tmp_path):
    tools.setattr(profile_module, "START_SECONDS", 0.3)
    tools.setenv("STUB_NCU", "hang")
    variants = ("--variants", "swiglu", "--case-timeout", "0.3", "--no-ceiling")
    assert cli("profile", *SWEEP, *variants, "--out", "hung").code == 1
    (row,) = read_counters(tmp_path / "hung")
    assert row.status == "timeout"
    assert "--case-timeout" in row.reason


@pytest.mark.parametrize("tool", ["ncu", "nsys"])
def test_a_missing_tool_is_a_reason_and_what_to_install(cli, run, tools, tool):
    tools.delenv(f"MGLUBENCH_{tool.upper()}")
    tools.setattr(profile_module, f"find_{tool}", lambda: None)
    result = cli("profile", str(run), "--tool", tool, *FAKE)
    assert result.code == 1
    assert statuses(run) == {"unavailable"}
    assert f"MGLUBENCH_{tool.upper()}" in next(read_counters(run)).reason


def test_cases_on_a_cpu_are_told_so(cli, tools, tmp_path):
    tools.delenv("MGLUBENCH_FAKE_CUDA")
    result = cli("profile", *SWEEP, "--out", "cpu", "--json")
    assert result.code == 1
    rows = json.loads(result.out)["rows"]
    assert {row["reason"] for row in rows} == {"ncu profiles CUDA kernels, this case runs on cpu"}


def test_a_failure_later_does_not_hide_figures(cli, run, tools):
    cli("profile", str(run), *FAKE)
    tools.setenv("STUB_NCU", "permission")
    cli("profile", str(run), *FAKE)
    assert mglubench.load(run)["dram_bytes_read"].notna().all()


def test_a_timeline_is_read_back(cli, run):
    result = cli("profile", str(run), "--tool", "nsys", *FAKE)
    assert result.code == 0, result.err
    frame = mglubench.load(run)
    assert set(frame["nsys_launches"]) == {20.0}
    assert set(frame["nsys_kernels"]) == {20.0}
    assert set(frame["nsys_kernel_us"]) == {20.0}
    assert set(frame["nsys_gap_us"]) == {0.5}
    assert frame["dram_bytes_read"].isna().all()
    assert (run / "profiles" / "nsys-001.nsys-rep").exists()


@pytest.mark.parametrize(
    ("mode", "status", "reason"),
    [
        ("no-kernels", "no-kernel", "neither kernels nor a range"),
        ("no-report", "no-kernel", "the report is not there"),
        ("empty-report", "no-kernel", "the report is not there"),
        ("garbage", "garbage", "no SQLite"),
        ("half", "garbage", "could not read back: it ended with exit code 3: ERROR: no space left"),
        ("refused", "crash", "exit code 1: ERROR: the target driver version 1.0 is not supported"),
        ("killed", "crash", "killed by signal 9"),
    ],
)
def test_a_timeline_without_kernels_is_a_failure(cli, run, tools, mode, status, reason):
    tools.setenv("STUB_NSYS", mode)
    assert cli("profile", str(run), "--tool", "nsys", *FAKE).code == 1
    assert statuses(run) == {status}
    assert all(reason in row.reason for row in read_counters(run))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere",), "holds no run"),
        (("run", "--nm", "2"), "either a run folder or the options of a sweep"),
        (("run", "--out", "other"), "either a run folder or the options of a sweep"),
        (("run", "--tool", "nvprof"), "unknown tool 'nvprof'"),
        (("--nm", "0"), "nm is 0"),
        (("--variants", "swiglo"), "did you mean swiglu"),
        (("--json", "--markdown"), "choose one of"),
    ],
)
def test_bad_input_is_one_line(cli, run, arguments, complaint):
    result = cli("profile", *arguments, *FAKE)
    assert result.code == 2
    assert complaint in result.err
    assert result.err.count("\n") == 1


def test_an_override_that_is_no_program_is_bad_input(cli, run, tools):
    tools.setenv("MGLUBENCH_NCU", "/nowhere/ncu")
    result = cli("profile", str(run), *FAKE)
    assert result.code == 2
    assert "MGLUBENCH_NCU=/nowhere/ncu" in result.err


def test_counters_of_another_device_are_refused(cli, run, tools):
    header = json.loads((run / "run.json").read_text())
    header["environment"]["devices"]["cuda"]["name"] = "another GPU"
    (run / "run.json").write_text(json.dumps(header))
    result = cli("profile", str(run), *FAKE)
    assert result.code == 2
    assert "made on another GPU" in result.err


@pytest.fixture
def gpu_run(tmp_path):
    """A run whose keys are those of the fixtures; its times are synthetic."""
    same = {"h": 4096, "d": 14336, "dtype": "float16", "mode": "cold", "device": "cuda:0"}
    rows = [
        make_row("mglu", [80_000.0] * 9, variant="mglu-naive", nm=4, **same),
        make_row("mglu", [70_000.0] * 9, variant="flash-mglu-packed", nm=4, **same),
        make_row("glu", [100_000.0] * 9, variant="swiglu", nm=0, **same),
    ]
    with RunStore.create(tmp_path / "gpu", make_header()) as store:
        for row in rows:
            store.append(row)
    return tmp_path / "gpu"


@pytest.mark.parametrize("page", ["raw", "details"])
def test_a_csv_taken_by_hand_is_joined_by_key(cli, gpu_run, page):
    result = cli("import", str(FIXTURES / f"ncu_{page}.csv"), "--run", str(gpu_run))
    assert result.code == 0, result.err
    frame = mglubench.load(gpu_run).set_index("variant")
    assert frame.loc["flash-mglu-packed", "dram_bytes_read"] == 147_000_000
    assert frame.loc["mglu-naive", "counters_reason"] == "not profiled"
    if page == "raw":
        assert frame.loc["swiglu", "dram_bytes_read"] == 240_060_000


def test_a_report_of_many_launches_is_divided(cli, gpu_run):
    result = cli("import", str(FIXTURES / "ncu_raw.csv"), "--run", str(gpu_run), "--launches", "2", "--json")
    assert result.code == 1
    by_variant = {row["key"].split("/")[0]: row for row in json.loads(result.out)["rows"]}
    assert by_variant["swiglu"]["figures"]["dram_bytes_read"] == 120_030_000
    assert "not those of 2 launches" in by_variant["flash-mglu-packed"]["reason"]


def test_a_timeline_taken_by_hand_is_joined(cli, gpu_run, tmp_path):
    write_timeline(tmp_path / "t.sqlite", [row.key for row in read_rows(gpu_run)][:2], launches=3)
    assert cli("import", str(tmp_path / "t.sqlite"), "--run", str(gpu_run)).code == 0
    assert mglubench.load(gpu_run)["nsys_kernels"].tolist()[:2] == [3.0, 3.0]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("x.csv", "hello\n", "no header line"),
        ("x.txt", "", "use a file that ends in"),
        ("x.sqlite", "junk", "no SQLite export"),
        ("x.nsys-rep", "junk", "nsys export --type sqlite"),
        (None, "", "no such file"),
    ],
)
def test_a_report_that_is_none_is_bad_input(cli, gpu_run, tmp_path, name, text, complaint):
    if name:
        (tmp_path / name).write_text(text)
    result = cli("import", str(tmp_path / (name or "gone.csv")), "--run", str(gpu_run))
    assert result.code == 2
    assert complaint in result.err
    assert not (gpu_run / "counters.jsonl").exists()


def test_a_report_of_another_sweep_is_bad_input(cli, run):
    result = cli("import", str(FIXTURES / "ncu_raw.csv"), "--run", str(run))
    assert result.code == 2
    assert "ranges of 2 other cases" in result.err


def test_a_missing_package_is_one_line(cli, gpu_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ncu_report", None)
    (tmp_path / "x.ncu-rep").write_bytes(b"NVR")
    result = cli("import", str(tmp_path / "x.ncu-rep"), "--run", str(gpu_run))
    assert result.code == 2
    assert "pip install mglubench[profile]" in result.err


def key_in(text, key):
    """A case file with the key of a run put in."""
    return text.replace("flash-mglu-packed/4096x14336/nm4/b1/float16/silu/bernoulli:0.5/cold/cuda:0/seed0", key)


@pytest.mark.parametrize("name", ["right.csv", "wrong.txt", "wrong.sqlite", "wrong.ncu-rep", "none"])
def test_a_report_is_known_by_its_content(cli, gpu_run, tmp_path, name):
    (tmp_path / name).write_text((FIXTURES / "ncu_raw.csv").read_text())
    assert cli("import", str(tmp_path / name), "--run", str(gpu_run)).code == 0
    keys = [row.key for row in read_rows(gpu_run)]
    write_timeline(tmp_path / "t", keys, launches=2)
    (tmp_path / f"t{Path(name).suffix}").write_bytes((tmp_path / "t").read_bytes())
    assert cli("import", str(tmp_path / f"t{Path(name).suffix}"), "--run", str(gpu_run)).code == 0


def test_rows_of_a_details_page_are_marked_partial_and_shown(cli, gpu_run):
    result = cli("import", str(FIXTURES / "ncu_short_rows_details.csv"), "--run", str(gpu_run), "--json")
    (row,) = json.loads(result.out)["rows"]
    assert row["status"] == "partial"
    assert row["figures"]["dram_bytes_read"] == 147e6
    assert "l2_bytes_read" in row["reason"]
    assert "sm_percent" in row["reason"]


def test_the_nearest_case_is_offered(cli, run, gpu_run, tmp_path):
    key = next(row.key for row in read_rows(gpu_run) if "flash" in row.key)
    other = key.replace("/nm4/", "/nm2/")
    (tmp_path / "x.csv").write_text(key_in((FIXTURES / "ncu_short_rows_details.csv").read_text(), other))
    result = cli("import", str(tmp_path / "x.csv"), "--run", str(gpu_run))
    assert result.code == 2
    assert f"nearest: {other} there, {key} here (nm2 is nm4 here)" in result.err


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("x.qdrep", b"junk", "older than .nsys-rep"),
        ("x.qdstrm", b"junk", "QdstrmImporter"),
        ("x.nvvp", b"junk", "of nvprof"),
        ("x.json", b"{}", "trace of another tool"),
        ("x.csv", b'{"traceEvents": []}', "it is JSON"),
        ("x.csv", b"\x1f\x8b\x08", "is compressed"),
        ("x.csv", b"==ERROR== ERR_NVGPUCTRPERM - no\n", "ncu said: ==ERROR== ERR_NVGPUCTRPERM - no"),
        ("x.csv", b'"Time (%)","Total Time (ns)","Name"\n', "nsys stats"),
        ("x.csv", b'"ID","Kernel Name","x Push/Pop_Range","dram__bytes_read.sum"\n', "holds no kernel"),
        ("x.ncu-rep", b"NVR\0junk", "newer Nsight Compute"),
    ],
)
def test_every_other_file_has_its_own_sentence(cli, gpu_run, tmp_path, name, data, complaint):
    if name.endswith("ncu-rep"):
        pytest.importorskip("ncu_report")
    (tmp_path / name).write_bytes(data)
    result = cli("import", str(tmp_path / name), "--run", str(gpu_run))
    assert result.code == 2
    assert complaint in result.err
    assert result.err.count("\n") == 1
    assert not (gpu_run / "counters.jsonl").exists()


def test_kernels_outside_of_all_ranges_are_told_from_none(cli, gpu_run, tmp_path):
    text = (FIXTURES / "ncu_short_rows_details.csv").read_text()
    for old, complaint in (("mglubench:", "none of them in a range of mglubench"), ("seed0", "none of a case")):
        (tmp_path / "x.csv").write_text(text.replace(old, "other"))
        result = cli("import", str(tmp_path / "x.csv"), "--run", str(gpu_run))
        assert result.code == 2
        assert complaint in result.err


def test_the_report_shows_the_ledger_once_there_are_counters(cli, gpu_run):
    before = cli("report", str(gpu_run)).out
    assert "DRAM/formula" not in before
    cli("import", str(FIXTURES / "ncu_raw.csv"), "--run", str(gpu_run))
    assert "DRAM/formula" in cli("report", str(gpu_run)).out
