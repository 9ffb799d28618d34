"""Steps that start processes, against stand-ins: what is asked, what is made of the answers. No GPU takes part."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from mglubench.campaign import command
from mglubench.campaign import do_bench as clock
from mglubench.campaign import steps_by_process as campaign_commands
from mglubench.campaign import steps_by_session as campaign_sweeps
from mglubench.campaign.definition import read_campaign
from mglubench.campaign.step import Bench, Slice
from mglubench.campaign.steps_by_process import build, sanitize, tune
from mglubench.campaign.unit_rows import SanitizedRow, TunedRow
from mglubench.errors import UnavailableError
from mglubench.executors.machine import Machine
from mglubench.hardware.devices import Device
from mglubench.system.process import Ended
from tests.conftest import make_case

TUNED = [{"choice": "warps=4", "median_us": 2.0, "rule_us": 3.0, "tried": 9, "failed": 1}]
RIGHT = {"variants": [{"variant": "x", "result": "right"}]}


@pytest.fixture
def bench(tmp_path):
    """A bench over one step of the given text, on a device that says it is a GPU."""

    def make(text, device="cuda", seconds=500.0):
        path = tmp_path / "mine.toml"
        path.write_text(f'device = "{device}"\n[[step]]\n{text}')
        campaign = read_campaign(path)
        machine = Machine({device: Device("cuda", "pretended", capability="9.0")}, {}, {})
        return Bench(tmp_path, campaign, machine, Slice(seconds), lambda log, timeout: None), campaign.steps[-1]

    return make


@pytest.fixture
def answers(monkeypatch):
    """Processes that end as they are told to and leave a result, if one is given; the commands that were started."""
    asked: list[tuple[str, ...]] = []

    def plan(*endings):
        left = list(endings)

        def run(command, timeout, *, log=None, env=None):
            asked.append(tuple(command))
            ended, *result = left.pop(0)
            if result:
                Path(after(command, "--out-json")).write_text(json.dumps(*result))
            return ended

        monkeypatch.setattr(command, "run_process", run)
        monkeypatch.setattr(campaign_sweeps, "run_process", run)
        return asked

    return plan


def after(command, word):
    return command[command.index(word) + 1]


def test_kernels_are_built_for_the_card_at_hand(bench, answers):
    asked = answers((Ended(0, "", ""), {"summary": "12 of 12 libraries are in /cache", "failures": []}))
    outcome = build(*bench('kind = "build"\nnm = [1, 8]\ndtype = ["float16", "bfloat16"]'))
    assert (outcome.status, outcome.reason) == ("ok", "12 of 12 libraries are in /cache")
    assert after(asked[0], "--arch") == "sm_90a"
    assert after(asked[0], "--nm") == "1,8"
    assert after(asked[0], "--dtype") == "float16,bfloat16"
    assert "flash-mglu-bulk" in after(asked[0], "--variants").split(",")


def test_a_kernel_that_does_not_compile_is_the_reason(bench, answers):
    answers((Ended(1, "", "words\n"), {"summary": "11 of 12 libraries are in /cache", "failures": ["x.cu: bad (x)"]}))
    outcome = build(*bench('kind = "build"'))
    assert (outcome.status, outcome.reason) == ("failed", "x.cu: bad (x)")


def test_a_build_goes_on_in_the_next_slice_unless_it_had_all_its_time(bench, answers):
    answers((Ended(None, "", ""),), (Ended(None, "", ""),))
    assert build(*bench('kind = "build"', seconds=20.0)).status == "part"
    outcome = build(*bench('kind = "build"\ntimeout = 15', seconds=500.0))
    assert (outcome.status, outcome.reason) == ("failed", "took longer than 15 s")


def test_cells_are_tuned_one_by_one_and_not_again(bench, answers):
    asked = answers(
        (Ended(0, "", ""), TUNED), (Ended(2, "", "error: no\n"),), (Ended(0, json.dumps(TUNED), ""), "no list")
    )
    given = bench('kind = "tune"\nnm = [1, 2, 4]')
    outcome = tune(*given)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("2 of 3 failed; flash-mglu-mma/2048x8192/2/1/float16/cold: no")
    assert [after(command, "--nm") for command in asked] == ["1", "2", "4"]
    rows = list(given[0].rows("tune.jsonl", TunedRow).values())
    assert [row["status"] for row in rows] == ["ok", "error", "error"]
    assert rows[0]["choice"] == "warps=4"
    tune(*given)
    assert len(asked) == 3


def test_a_cell_that_the_slice_cut_short_is_tuned_in_the_next(bench, answers):
    answers((Ended(0, "", ""), TUNED), (Ended(None, "", ""),))
    outcome = tune(*bench('kind = "tune"\nnm = [1, 2]', seconds=60.0))
    assert (outcome.status, outcome.progress) == ("part", 1)


@pytest.fixture
def clean_sanitizer(monkeypatch, tmp_path):
    """A sanitizer that finds nothing and says how it was called."""
    program = tmp_path / "sanitizer"
    leave = f"while [ $# -gt 1 ]; do shift; done; echo '{json.dumps(RIGHT)}' > \"$1\""
    program.write_text(f"#!/bin/sh\necho '========= ERROR SUMMARY: 0 errors'\necho \"$@\"\n{leave}\n")
    program.chmod(0o755)
    monkeypatch.setenv("MGLUBENCH_SANITIZER", str(program))


@pytest.mark.usefixtures("clean_sanitizer")
def test_every_tool_looks_at_every_kernel(bench, tmp_path):
    given = bench('kind = "sanitize"\njobs = 3')
    outcome = sanitize(*given)
    assert (outcome.status, outcome.progress) == ("ok", 4 * len(campaign_commands.KERNELS))
    row = given[0].rows("sanitize.jsonl", SanitizedRow)["racecheck/flash-mglu-mma"]
    log = (tmp_path / row["log"]).read_text()
    assert "--tool racecheck" in log
    assert "--kernel-name kernel_substring=flash_mglu_mma" in log
    # Initcheck must see what torch writes.
    other = given[0].rows("sanitize.jsonl", SanitizedRow)["initcheck/flash-mglu-mma"]
    assert "--kernel-name" not in (tmp_path / other["log"]).read_text()


@pytest.mark.usefixtures("clean_sanitizer")
def test_sanitizers_that_run_at_once_do_not_share_ports(bench, tmp_path):
    given = bench('kind = "sanitize"\ntools = ["memcheck"]\njobs = 3')
    assert sanitize(*given).status == "ok"
    words = [
        (tmp_path / row["log"]).read_text().split() for row in given[0].rows("sanitize.jsonl", SanitizedRow).values()
    ]
    ports = [int(line[line.index("--port") + 1]) for line in words]
    assert len(set(ports[:3])) == 3
    assert {b - a for a, b in pairwise(sorted(set(ports)))} == {10}


def test_no_sanitizer_is_an_absence(bench, monkeypatch):
    monkeypatch.delenv("MGLUBENCH_SANITIZER", raising=False)
    monkeypatch.setattr(campaign_commands, "find_program", lambda *args: None)
    with pytest.raises(UnavailableError, match="compute-sanitizer was not found"):
        sanitize(*bench('kind = "sanitize"'))


def test_the_other_clock_times_the_launch_of_the_case(monkeypatch):
    triton = pytest.importorskip("triton.testing")
    seen = []

    def do_bench(launch, warmup, rep, return_mode):
        launch()
        seen.append((rep, return_mode))
        return 0.25

    monkeypatch.setattr(triton, "do_bench", do_bench)
    case = make_case(device="cpu", dtype="float32")
    row = clock.row_of(case, 80.0)
    assert row == {"key": case.key, "status": "ok", "reason": "", "do_bench_us": 250.0}
    assert seen == [(80.0, "median")]
    assert (
        clock.row_of(make_case(device="cpu", dtype="float32", variant="stream-read-cuda", nm=0), 1.0)["status"]
        == "error"
    )


def test_the_other_clock_goes_on_with_what_is_left(bench, answers, monkeypatch, tmp_path):
    cases = [make_case(variant="mglu-naive", nm=nm, mode=mode) for nm in (1, 2) for mode in ("cold", "hot")]
    monkeypatch.setattr(campaign_sweeps, "stored_cases", lambda folder: cases)
    given = bench('kind = "sweep"\nname = "s"\n[[step]]\nkind = "agree"\nof = "s"')
    row = {"key": cases[0].key, "status": "ok", "reason": "", "do_bench_us": 3.0}
    (tmp_path / "agree.jsonl").write_text(json.dumps(row) + "\n")
    answers((Ended(1, "", "Segmentation fault\n"),))
    outcome = campaign_sweeps.agree(*given)
    assert (outcome.status, outcome.reason) == ("failed", "1 of 2 cases; Segmentation fault")
    left = json.loads((tmp_path / "logs" / "agree.cases.json").read_text())
    assert [(case["nm"], case["mode"]) for case in left] == [(2, "cold")]
    (tmp_path / "agree.jsonl").write_text("".join(json.dumps({**row, "key": case.key}) + "\n" for case in cases[::2]))
    assert campaign_sweeps.agree(*given).status == "ok"
