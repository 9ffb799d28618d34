"""What the commands print, on the fake executor: formats, streams, exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from mglubench.comparison import PRINTED
from tests.conftest import COMMAND, ROOT, TINY, run_command, tree

FAKE = ("--executor", "fake")
NAMED = ("--variants", "lu,swiglu,swiglu-merged,mglu-naive,mglu-numba-cpu")
SWEEP = ("sweep", *FAKE, *TINY, *NAMED)
CASES = 11  # four ceilings, three layers without masks, two with masks at two nm


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def stored(cli):
    assert cli(*SWEEP, "--out", "run").code == 0


def test_a_sweep_prints_tables_on_stdout_and_its_summary_on_stderr(cli, tmp_path):
    result = cli(*SWEEP, "--out", "run")
    assert result.code == 0
    assert "FAKE RUN" in result.out
    assert "Latency and speed-up: h=64 d=96, 1 token, float32, silu, cold on cpu" in result.out
    assert "Memory: h=64 d=96" in result.out
    assert "mglu-numba-cpu" in result.out
    assert result.err.splitlines()[-1] == f"{CASES} cases: {CASES} ok. Stored in run"
    assert all(line.startswith("set ") for line in filter(None, result.err.splitlines()[:-1]))
    assert "\x1b" not in result.out + result.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock", "run.json", "rows.jsonl"}


def test_without_out_the_run_lands_under_runs_with_its_name(cli, tmp_path):
    for _ in range(2):
        assert cli(*SWEEP, "--name", "mine").code == 0
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    assert all(folder.name.startswith("mine-") for folder in folders)


def test_json_is_one_document_without_nan(cli):
    result = cli(*SWEEP, "--out", "run", "--json")
    document = strict_json(result.out)
    assert set(document) == {"run", "tables", "rows"}
    assert document["run"]["fake"] is True
    assert len(document["rows"]) == CASES
    rows = {(row["variant"], row["nm"]): row for row in document["rows"]}
    assert rows["swiglu", 0]["vs_naive"] is None
    assert rows["mglu-numba-cpu", 3]["vs_naive"] > 1
    assert rows["mglu-numba-cpu", 3]["vs_naive_low"] <= rows["mglu-numba-cpu", 3]["vs_naive"]
    assert "Latency" in document["tables"][0]["title"]


def test_csv_has_a_header_and_one_row_per_case(cli):
    rows = list(csv.DictReader(io.StringIO(cli(*SWEEP, "--out", "run", "--csv").out)))
    assert len(rows) == CASES
    assert {row["status"] for row in rows} == {"ok"}
    assert float(rows[-1]["latency_us"]) > 0
    assert "samples_ns" not in rows[0]


def test_markdown_tables_are_well_formed(cli):
    out = cli(*SWEEP, "--out", "run", "--markdown").out
    tables = [block for block in out.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        lines = table.strip().splitlines()
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|-: ")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_dry_run_lists_the_cases_and_writes_nothing(cli, tmp_path, form):
    result = cli(*SWEEP, "--dry-run", *form)
    assert result.code == 0
    if form:
        document = strict_json(result.out)
        assert len(document["cases"]) == CASES
        assert document["sweep"]["shapes"] == ["64x96"]
    else:
        assert len(result.out.splitlines()) == CASES
        assert "mglu-numba-cpu/64x96/nm3/b1/float32/silu/bernoulli:0.5/cold/cpu/seed0" in result.out
        assert f"{CASES} cases, nothing measured" in result.err
    assert tree(tmp_path) == {}


def test_a_dry_run_guesses_how_long_the_sweep_takes(cli):
    here = ("--executor", "local", "--device", "cpu", "--shape", "8x8", "--nm", "1", "--no-ceiling", "--dry-run")
    few, more = ("lu,swiglu", "lu,swiglu,mglu-naive,mglu-naive-float")
    assert (
        cli("sweep", *here, "--variants", few)
        .err.strip()
        .endswith("2 cases, nothing measured; they will take 5 seconds, by a guess")
    )
    guesses = [
        strict_json(cli("sweep", *here, "--variants", names, "--json").out)["guessed_seconds"] for names in (few, more)
    ]
    assert guesses[1] == 2 * guesses[0] > 0


def test_options_override_a_sweep_file(cli, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'h = [32]\nd = [48]\nnm = [1]\nvariants = ["lu", "mglu-naive"]\nceiling = false\n'
    )
    lines = cli("sweep", *FAKE, "--config", "mine.toml", "--nm", "2,3", "--dry-run").out.splitlines()
    assert [line.split("/")[:3] for line in lines] == [
        ["lu", "32x48", "nm0"],
        ["mglu-naive", "32x48", "nm2"],
        ["mglu-naive", "32x48", "nm3"],
    ]
    assert "8x8" in cli("sweep", *FAKE, "--config", "mine.toml", "--shape", "8x8", "--dry-run").out


def test_variants_can_be_left_out(cli):
    out = cli(*SWEEP, "--variants", "auto,-mglu-naive,-lu", "--dry-run", "--no-ceiling").out
    names = {line.split("/")[0] for line in out.splitlines()}
    assert "swiglu" in names
    assert not names & {"mglu-naive", "lu"}


@pytest.mark.parametrize("name", ["quick", "paper", "batch", "llms"])
def test_shipped_sweeps_run_from_any_folder(cli, name):
    result = cli("sweep", *FAKE, "--config", name, "--json", "--out", "run", "--max-samples", "10")
    assert result.code == 0
    assert strict_json(result.out)["run"]["name"] == name


def test_the_papers_figures_stand_beside_ours(cli):
    out = cli("sweep", *FAKE, "--config", "paper", "--markdown", "--out", "run").out
    assert out.count("### Beside the paper") == 2
    table = out.partition("### Beside the paper: h=2048 d=8192")[2].partition("###")[0]
    naive = next(line for line in table.splitlines() if line.startswith(f"| 8 | {PRINTED}, us"))
    assert [cell.strip() for cell in naive.split("|")[-3:-1]] == ["791.0", "521.0"]


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ("lu=wrong", 1),
        ("lu=error", 1),
        ("lu=crash", 1),
        ("lu=timeout", 1),
        ("lu=oom", 0),
        ("lu=unavailable", 0),
        ("lu=unsupported", 0),
    ],
)
def test_a_defect_shows_in_the_exit_code_and_an_absence_does_not(cli, monkeypatch, faults, code):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", faults)
    result = cli(*SWEEP, "--out", "run")
    assert result.code == code
    assert "Not measured" in result.out
    assert "planted fault in lu" in result.out
    assert f"1 {faults.partition('=')[2]}" in result.err


def test_a_failed_case_has_no_time_and_no_ratio(cli, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "mglu-numba-cpu=wrong")
    rows = strict_json(cli(*SWEEP, "--out", "run", "--json").out)["rows"]
    failed = [row for row in rows if row["variant"] == "mglu-numba-cpu"]
    assert len(failed) == 2
    assert all(row[name] is None for row in failed for name in ("latency_us", "vs_glu", "vs_naive", "memory_vs_glu"))


def test_a_sweep_that_measured_nothing_says_so(cli, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "lu=oom")
    result = cli(*SWEEP, "--variants", "lu", "--no-ceiling", "--out", "run")
    assert "Traceback" not in result.err
    assert "planted fault" in result.out


def test_a_gpu_of_the_fake_executor_is_the_default_device(cli, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_CUDA", "1")
    out = cli(*SWEEP, "--variants", "auto", "--dry-run", "--mode", "cold,graph").out
    assert "/float16/silu/bernoulli:0.5/graph/cuda/seed0" in out
    assert "mglu-numba-cpu" not in out


def test_report_prints_what_the_sweep_printed(cli, stored):
    for form in ((), ("--json",), ("--csv",), ("--markdown",)):
        again = cli("report", "run", *form)
        assert again.code == 0
        assert again.err == ""
        assert again.out == cli("report", "run", *form).out
    first = cli(*SWEEP, "--out", "other", "--markdown").out
    assert cli("report", "other", "--markdown").out == first


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_report_exports_all_rows(cli, stored, tmp_path, ending):
    import pandas as pd

    assert cli("report", "run", "--export", f"rows.{ending}").code == 0
    frame = getattr(pd, f"read_{ending}")(tmp_path / f"rows.{ending}")
    assert len(frame) == CASES
    assert "vs_glu" in frame.columns


def test_report_of_an_unknown_export_ending_is_refused(cli, stored):
    result = cli("report", "run", "--export", "rows.xlsx")
    assert (result.code, len(result.err.splitlines())) == (2, 1)


def test_a_run_that_was_cut_off_before_its_first_row_is_reported_without_a_traceback(cli, stored, tmp_path):
    (tmp_path / "run" / "rows.jsonl").unlink()
    for form in ((), ("--json",), ("--csv",), ("--markdown",)):
        result = cli("report", "run", *form)
        assert result.code == 0
        assert "Traceback" not in result.err
    assert f"no case of {CASES} is finished" in cli("report", "run").err


def test_a_torn_line_is_a_warning_on_stderr(cli, stored, tmp_path):
    rows = tmp_path / "run" / "rows.jsonl"
    rows.write_bytes(rows.read_bytes()[:-20])
    result = cli("report", "run", "--json")
    assert len(strict_json(result.out)["rows"]) == CASES - 1
    assert result.err.startswith("warning: ")
    assert "cut short" in result.err
    again = cli(*SWEEP, "--out", "run", "--resume")
    assert f"{CASES} cases: {CASES} ok" in again.err


def test_runs_lists_what_is_stored(cli, stored, tmp_path):
    assert cli(*SWEEP, "--out", "runs/b").code == 0
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "run.json").write_text("{")
    rows = {row["run"]: row for row in strict_json(cli("runs", "--json").out)}
    assert rows["runs/b"]["done"] == rows["runs/b"]["planned"] == CASES
    assert rows["runs/b"]["note"] == "fake"
    assert rows["runs/damaged"]["note"].startswith("unreadable")
    assert f"{CASES}/{CASES}" in cli("runs").out
    assert "no runs in nowhere" in cli("runs", "nowhere").out
    assert strict_json(cli("runs", "nowhere", "--json").out) == []


def test_variants_say_what_they_are_and_why_not_here(cli):
    rows = {row["name"]: row for row in strict_json(cli("variants", "--device", "cpu", "--json").out)}
    assert rows["mglu-numba-cpu"]["available"] is True
    assert rows["swiglu"]["summary"]
    on_cuda = {row["name"]: row for row in strict_json(cli("variants", "--device", "cuda", "--json").out)}
    assert on_cuda["mglu-numba-cpu"]["available"] is False
    assert on_cuda["mglu-numba-cpu"]["here"] == "runs on cpu only"
    assert "mglu-numba-cpu" in cli("variants").out


def test_verify_on_the_fake_executor_checks_every_variant(cli):
    result = cli("verify", *FAKE, "--device", "cpu", "--json")
    assert result.code == 0
    document = strict_json(result.out)
    names = {row["variant"] for row in document["variants"]}
    assert {"lu", "swiglu", "mglu-naive", "mglu-numba-cpu", "stream-read"} <= names
    assert {row["dtype"] for row in document["variants"]} == {"float32", "bfloat16", "float16"}


def test_verify_fails_if_one_variant_is_wrong(cli, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "lu=wrong")
    result = cli("verify", *FAKE, "--variants", "lu,swiglu", "--dtype", "float32", "--json")
    assert result.code == 1
    document = strict_json(result.out)
    assert {row["variant"]: row["result"] for row in document["variants"]} == {"lu": "WRONG", "swiglu": "right"}
    assert document["failures"]


def test_doctor_says_whether_the_main_job_can_run(cli):
    result = cli("doctor", "--json")
    document = strict_json(result.out)
    assert result.code == (0 if document["can_run"] else 1) == 0
    findings = {finding["what"]: finding for finding in document["findings"]}
    assert findings["torch"]["needed"]
    assert findings["python"]["status"] == "ok"
    assert all(finding["detail"] for finding in findings.values())
    assert "the main job can run" in cli("doctor").out


def test_doctor_fails_where_something_needed_is_broken(cli, monkeypatch):
    from mglubench.hardware import doctor
    from mglubench.hardware.doctor import Finding

    monkeypatch.setattr(doctor, "examine", lambda: [Finding("torch", "broken", "gone", "pip install torch", True)])
    result = cli("doctor", "--json")
    assert result.code == 1
    assert strict_json(result.out)["can_run"] is False


def test_help_and_version(cli):
    from importlib.metadata import version

    assert cli("--version").out == f"mglubench {version('mglubench')}\n"
    for command in ((), ("sweep",), ("report",), ("runs",), ("variants",), ("verify",), ("doctor",)):
        result = cli(*command, "--help")
        assert (result.code, result.err) == (0, "")
        assert "Usage" in result.out


def test_without_a_command_the_help_is_shown_and_no_empty_error(cli):
    result = cli()
    assert "Usage" in result.out + result.err
    assert "error: \n" not in result.err


def test_data_is_alone_on_stdout_when_piped(tmp_path):
    result = run_command(*SWEEP, "--out", "run", "--json", cwd=tmp_path)
    strict_json(result.out)
    assert result.err.strip() == ""
    assert "\x1b" not in run_command("report", "run", cwd=tmp_path).out


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    run_command(*SWEEP, "--nm", "1,2,3,4,5,6,7,8,9,10,11,12", "--out", "run", cwd=tmp_path)
    for form in ("--csv", "--markdown", "--json"):
        with subprocess.Popen(
            [*COMMAND, "report", "run", form], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""


def test_a_document_is_published_as_a_file_too(cli, tmp_path):
    words = ("verify", "--executor", "fake", "--variants", "lu", "--dtype", "float32")
    result = cli(*words, "--json", "--out-json", "found.json")
    assert result.code == 0
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(result.out)
    refused = cli(*words, "--out-json", "nowhere/found.json")
    assert refused.code == 2
    assert refused.err == "error: cannot write nowhere/found.json: there is no folder nowhere\n"
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_a_file_that_cannot_be_written_is_refused_before_any_work(cli, tmp_path):
    assert cli("sweep", *FAKE, *TINY, "--out", "run").code == 0
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    build = ("build", "--arch", "sm_90a", "--variants", "swiglu-fused", "--nm", "1")
    for words, said in (
        ((*build, "--out-json", "folder/"), "cannot write folder: it is there already, and a folder"),
        (("report", "run", "--html", "page.html", "--export", "rows.xlsx"), "cannot export to 'rows.xlsx'"),
        (("report", "run", "--html", "page.html", "--export", "folder/no/rows.csv"), "cannot write folder/no/rows.csv"),
        (("report", "run", "--export", "rows.csv", "--html", "x" * 300), "cannot write xxx"),
        (("compare", "run", "run", "--out-markdown", "page.md", "--junit", "no/j.xml"), "cannot write no/j.xml"),
        (("verify", "--executor", "fake", "--variants", "lu", "--out-json", "run/run.json/x"), "Not a directory"),
    ):
        refused = cli(*words)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1), refused.err
        assert said in refused.err
    assert tree(tmp_path) == before


def test_help_is_told_without_what_only_draws() -> None:
    """``--help`` is there at once: no frames, no table library, nothing that measures."""
    code = """
import runpy, sys
sys.argv = ["mglubench", "--help"]
try:
    runpy.run_module("mglubench", run_name="__main__")
except SystemExit:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    loaded = set(done.stderr.split())
    assert "mglubench" in loaded
    assert not loaded & {"rich", "pygments", "markdown_it", "numpy", "pandas", "torch", "numba", "psutil"}
    assert "Measure every variant over shapes, masks, batches, dtypes and modes" in " ".join(done.stdout.split())
