"""The campaign command from end to end: a tiny one for real on this CPU, the shipped one by the fake executor."""

from __future__ import annotations

import json

import pytest

from mglubench.results.store import read_rows

FAKE = ("--executor", "fake")
TINY = """
device = "cpu"
[[step]]
kind = "verify"
variants = ["swiglu", "mglu-naive"]
nm = [1]
dtype = ["float32"]
[[step]]
kind = "sweep"
name = "tiny"
shape = ["64x96"]
nm = [1]
variants = ["swiglu", "mglu-naive"]
ceiling = false
max_seconds = 0.1
[[step]]
kind = "render"
[targets]
step = "tiny"
goal = [
    { figure = "vs_naive", shape = "64x96", nm = 1, least = [0.5] },
    { figure = "vs_naive", shape = "64x96", nm = 1, least = 2 },
    { figure = "vs_glu", shape = "64x96", nm = 8, least = 1 },
]
"""
HALF = TINY.replace('kind = "render"', 'kind = "agree"\nof = "tiny"').replace(
    "[targets]", '[[step]]\nkind = "render"\n[targets]'
)


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    return "tiny.toml"


def states(result):
    document = json.loads(result.out)
    return {row["step"]: row["status"] for row in document["steps"]}, document["exit_code"]


def test_a_tiny_campaign_is_measured_and_rendered_on_this_cpu(cli, tiny, tmp_path):
    result = cli("campaign", tiny, "--out", "out")
    assert result.code == 0, result.err
    assert "3 done, 0 failed, 0 absent, 0 left" in result.out
    rows = list(read_rows(tmp_path / "out" / "runs" / "tiny"))
    assert [row.status for row in rows] == ["ok", "ok"]
    assert all(row.samples for row in rows)
    index = (tmp_path / "out" / "README.md").read_text()
    assert "FAKE" not in index
    assert "1 met, 1 missed, 1 not measured" in index
    assert "| 1 | 0.50 | 1.00 | mglu-naive | met |".replace(" ", "") in index.replace("**", "").replace(" ", "")
    assert "### Against float64" in index
    for name in ("tables.md", "latency.png", "roofline.png", "bandwidth.png"):
        assert f"(runs/tiny/{name})" in index
        assert (tmp_path / "out" / "runs" / "tiny" / name).stat().st_size


def test_a_second_call_measures_nothing_again(cli, tiny, tmp_path):
    assert cli("campaign", tiny, *FAKE, "--out", "out").code == 0
    before = (tmp_path / "out" / "campaign.jsonl").read_bytes()
    again = cli("campaign", tiny, *FAKE, "--out", "out", "--json")
    assert again.code == 0
    assert states(again) == ({"verify": "ok", "tiny": "ok", "render": "ok"}, 0)
    assert (tmp_path / "out" / "campaign.jsonl").read_bytes() == before


def test_a_failing_step_is_exit_code_1_and_the_rest_is_done(cli, tiny, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "swiglu=crash")
    result = cli("campaign", tiny, *FAKE, "--out", "out", "--json")
    assert result.code == 1
    assert states(result) == ({"verify": "failed", "tiny": "failed", "render": "ok"}, 1)


def test_slices_that_remain_are_exit_code_3(cli, tiny, monkeypatch):
    from mglubench.campaign import step as bench

    # Whatever has been started, the slice is over.
    monkeypatch.setattr(bench.Slice, "left", lambda self: 0.0)
    codes = []
    for _ in range(4):
        result = cli("campaign", tiny, *FAKE, "--out", "out", "--slice-seconds", "1")
        codes.append(result.code)
        if result.code != 3:
            break
        assert "run the same command again" in result.err
    assert codes[0] == 3


def test_the_shipped_campaign_runs_through_on_a_fake_card(cli, tmp_path, monkeypatch):
    from mglubench.campaign import render_step as campaign_render
    from mglubench.campaign import steps_by_session as campaign_sweeps
    from mglubench.profilers.profiler import Failure

    # The pictures have tests of their own and would take half a minute.
    monkeypatch.setattr(campaign_render, "PICTURES", ())
    no_ncu = Failure("unavailable", "ncu was not found", everyone=True)
    monkeypatch.setattr(campaign_sweeps, "make_profiler", lambda tool, capability: no_ncu)
    result = cli("campaign", *FAKE, "--json")
    assert result.code == 0, result.err
    found, _ = states(result)
    assert [step for step, status in found.items() if status == "absent"] == [
        *("build", "tune-paper", "tune-baseline", "tune-mma", "profile", "sanitize", "build-all", "agree"),
    ]
    assert set(found.values()) == {"ok", "absent"}
    folder = tmp_path / "reports" / "fake-device"
    index = (folder / "README.md").read_text()
    assert "FAKE RUN" in index
    assert "0 met, 0 missed, 16 not measured" in index
    for title in (
        "Targets, float16",
        "Targets, bfloat16",
        "The batch from which the saving vanishes",
        "Bulk copies against plain loads",
        "A/A: false",
    ):
        assert f"### {title}" in index
    assert len(list((folder / "runs" / "aa").iterdir())) == 20
    paper = (folder / "runs" / "paper-cold" / "tables.md").read_text()
    assert paper.count("### Beside the paper") == 2


def test_what_is_there_is_rendered_without_the_device_and_the_campaign_goes_on(cli, tiny, tmp_path, monkeypatch):
    from mglubench.campaign import journal as steps

    def no_device(session, plan):
        raise AssertionError("the device was asked for")

    real = steps.STEPS["render"]
    monkeypatch.setitem(steps.STEPS, "render", lambda bench, step: steps.Outcome(steps.StepStatus.PART, "interrupted"))
    assert cli("campaign", tiny, *FAKE, "--out", "out").code == 3
    journal = (tmp_path / "out" / "campaign.jsonl").read_bytes()
    assert not (tmp_path / "out" / "README.md").exists()
    with monkeypatch.context() as patched:
        patched.setattr(steps, "describe", no_device)
        result = cli("campaign", tiny, "--out", "out", "--render")
    assert result.code == 0, result.err
    assert "2 done, 0 failed, 0 absent, 1 left" in result.out
    index = (tmp_path / "out" / "README.md").read_text()
    assert "on fake device" in index
    assert "FAKE RUN" in index
    assert (tmp_path / "out" / "runs" / "tiny" / "latency.png").stat().st_size
    assert (tmp_path / "out" / "campaign.jsonl").read_bytes() == journal
    monkeypatch.setitem(steps.STEPS, "render", real)
    assert cli("campaign", tiny, *FAKE, "--out", "out").code == 0


def test_absent_steps_say_why(cli, tmp_path):
    (tmp_path / "half.toml").write_text(HALF)
    result = cli("campaign", "half.toml", *FAKE, "--out", "out")
    assert result.code == 0
    assert "the fake executor runs no kernel" in result.out


BAD = {
    "render what": (("tiny.toml", "--render"), "--render needs --out"),
    "render nothing": (("tiny.toml", "--render", "--out", "out"), "out holds no campaign"),
    "no file": (("nowhere",), "no campaign file 'nowhere'; shipped campaigns: campaign"),
    "no gpu": (("campaign", "--out", "out"), "no CUDA device can be used here"),
    "executor": (("tiny.toml", "--executor", "none"), "unknown executor 'none'"),
    "slice": (("tiny.toml", "--slice-seconds", "0"), "slice-seconds"),
    "a sweep": (("quick.toml", *FAKE), "no campaign file 'quick.toml'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_writes_nothing(name, cli, tiny, tmp_path):
    import torch

    if name == "no gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    words, complaint = BAD[name]
    result = cli("campaign", *words)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert complaint in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_another_campaign_in_the_folder_is_refused(cli, tiny, tmp_path):
    cli("campaign", tiny, *FAKE, "--out", "out")
    (tmp_path / "tiny.toml").write_text(TINY.replace("64x96", "96x64"))
    result = cli("campaign", tiny, *FAKE, "--out", "out")
    assert result.code == 2
    assert "holds another campaign; it differs in steps, targets" in result.err


def test_a_campaign_is_no_sweep(cli):
    result = cli("sweep", *FAKE, "--config", "campaign")
    assert result.code == 2
    assert "no sweep file 'campaign'" in result.err


@pytest.mark.parametrize("damage", ["lose a word", "another kind", "no status that there is", "not a row"])
def test_a_damaged_row_of_the_journal_is_told_and_its_step_done_again(cli, tiny, tmp_path, damage):
    assert cli("campaign", tiny, *FAKE, "--out", "out").code == 0
    journal = tmp_path / "out" / "campaign.jsonl"
    lines = journal.read_text().splitlines()
    row = json.loads(lines[4])
    assert (row["key"], row["status"]) == ("tiny", "ok")
    changed = {"another kind": {"progress": "many"}, "no status that there is": {"status": "okay"}}
    row.update(changed.get(damage, {}))
    if damage == "lose a word":
        del row["seconds"]
    lines[4] = "[1]" if damage == "not a row" else json.dumps(row)
    journal.write_text("\n".join(lines) + "\n")
    shown = cli("campaign", tiny, "--render", "--out", "out")
    assert shown.code == 0
    assert "campaign.jsonl, line 5: damaged row, left out" in shown.err
    assert "Traceback" not in shown.err
    again = cli("campaign", tiny, *FAKE, "--out", "out", "--json")
    assert states(again) == ({"verify": "ok", "tiny": "ok", "render": "ok"}, 0)


@pytest.mark.parametrize("options", [FAKE, ("--render",)])
@pytest.mark.parametrize(
    "first", ["", '{"key": "campaign", "status": "header", "campaign": 1, "device": "x", "fake": true}']
)
def test_a_journal_without_its_header_is_refused(cli, tiny, tmp_path, options, first):
    assert cli("campaign", tiny, *FAKE, "--out", "out").code == 0
    journal = tmp_path / "out" / "campaign.jsonl"
    journal.write_text("\n".join(filter(None, [first, *journal.read_text().splitlines()[1:]])) + "\n")
    before = journal.read_bytes()
    result = cli("campaign", tiny, *options, "--out", "out")
    assert result.code == 2
    assert "error: out/campaign.jsonl does not begin with a campaign" in result.err.replace(f"{tmp_path}/", "")
    assert journal.read_bytes() == before


@pytest.mark.parametrize("damage", ['{"findings": 1}', '{"findings": ["x"]}', "{", "[]", "[" * 9999])
def test_what_a_step_has_stored_and_is_damaged_costs_its_table_alone(cli, tmp_path, damage, monkeypatch):
    monkeypatch.setattr("mglubench.campaign.render_step.PICTURES", ())
    (tmp_path / "mine.toml").write_text(TINY.replace("[[step]]", '[[step]]\nkind = "doctor"\n[[step]]', 1))
    assert cli("campaign", "mine.toml", *FAKE, "--out", "out").code in (0, 1)
    (tmp_path / "out" / "doctor.json").write_text(damage)
    result = cli("campaign", "mine.toml", "--render", "--out", "out")
    assert result.code == 1
    assert "what the step doctor has stored is damaged" in result.err
    assert "Traceback" not in result.err
    assert "Targets" in (tmp_path / "out" / "README.md").read_text()
