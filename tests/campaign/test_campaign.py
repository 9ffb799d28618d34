"""A campaign's slices: order, resumption, steps that fail, what the journal says; by the fake executor."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import pytest

from mglubench.campaign import journal as module
from mglubench.campaign.command import Answer
from mglubench.campaign.definition import find_campaign, read_campaign
from mglubench.campaign.journal import exit_code, open_journal, run_slice, state_of
from mglubench.campaign.outcome import Outcome, StepStatus
from mglubench.campaign.step import Bench, Slice
from mglubench.campaign.steps_by_process import _tune_jobs, sanitizer_verdict
from mglubench.errors import ConfigError, StoreError, UsageError
from mglubench.executors.fake import FakeSession
from mglubench.results.store import read_rows
from mglubench.system.lines import decoded, keyed_object, take_lock
from mglubench.system.process import Ended, run_process
from mglubench.system.resources import data_folder

SWEEPS = """
device = "cpu"
[[step]]
kind = "verify"
variants = ["swiglu", "mglu-naive"]
nm = [1]
dtype = ["float32"]
[[step]]
kind = "sweep"
name = "one"
shape = ["64x96", "96x64", "32x32"]
nm = [1, 2]
variants = ["swiglu", "mglu-naive"]
max_seconds = 0.1
[[step]]
kind = "aa"
repeats = 3
shape = ["32x32"]
nm = [1]
variants = ["mglu-naive"]
ceiling = false
max_seconds = 0.1
"""


def read(tmp_path, text=SWEEPS):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_campaign(path)


@contextmanager
def no_log(log, case_timeout):
    yield FakeSession()


def one_slice(folder, campaign, seconds=1e9, tick=0.0, session=no_log):
    """A slice in which every look at the clock takes ``tick`` seconds."""
    description = FakeSession().describe((campaign.device,))
    ticks = itertools.count()
    time = Slice(seconds, clock=lambda: next(ticks) * tick)
    with open_journal(folder, campaign, description) as journal:
        return run_slice(Bench(folder, campaign, description, time, session), journal)


def journal_of(folder):
    return [(row["key"], row["status"]) for row in decoded(folder / module.JOURNAL, keyed_object)]


def test_steps_are_done_in_order_and_once(tmp_path):
    campaign, folder = read(tmp_path), tmp_path / "out"
    states = one_slice(folder, campaign)
    assert [(state.step, state.status) for state in states] == [("verify", "ok"), ("one", "ok"), ("aa", "ok")]
    assert exit_code(states) == 0
    steps = ["verify", "one", "aa"]
    assert journal_of(folder) == [
        ("campaign", "header"),
        *[pair for step in steps for pair in ((step, "begun"), (step, "ok"))],
    ]
    before = (folder / module.JOURNAL).read_bytes()
    assert one_slice(folder, campaign) == states
    assert (folder / module.JOURNAL).read_bytes() == before


def test_every_slice_goes_on_where_the_last_one_stopped(tmp_path):
    campaign, folder = read(tmp_path), tmp_path / "out"
    seen, done = [], 0
    for _ in range(60):
        states = one_slice(folder, campaign, seconds=10.0, tick=4.0)
        now = sum(state.progress for state in states)
        assert now >= done
        done = now
        seen.append(exit_code(states))
        if seen[-1] != 3:
            break
    assert seen[-1] == 0
    assert len(seen) > 4
    assert set(seen[:-1]) == {3}
    rows = [(row.set, row.key) for row in read_rows(folder / "runs" / "one")]
    assert len(rows) == len(set(rows))
    assert len({key for _, key in rows}) == 13
    assert len(list(read_rows(folder / "runs" / "aa" / "03"))) == 1


def test_what_an_aa_step_finds_is_remembered_for_the_device(tmp_path, monkeypatch):
    from mglubench.campaign import steps_by_session

    kept = []
    monkeypatch.setattr(steps_by_session, "remember", lambda *found: kept.append(found) or "no room")
    assert exit_code(one_slice(tmp_path / "out", read(tmp_path))) == 0
    ((repeats, header, run),) = kept
    assert (repeats.runs, run, header["fake"]) == (3, "aa", True)
    assert [(figure.variant, figure.runs) for figure in repeats.latencies] == [("mglu-naive", 3)]


def test_a_failing_step_is_a_row_and_not_the_end(tmp_path):
    campaign, folder = read(tmp_path), tmp_path / "out"

    @contextmanager
    def broken(log, case_timeout):
        yield FakeSession({"swiglu": "wrong"})

    states = one_slice(folder, campaign, session=broken)
    assert [state.status for state in states] == ["failed", "failed", "ok"]
    assert "planted fault in swiglu" in states[1].reason
    assert exit_code(states) == 1
    assert one_slice(folder, campaign) == states


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("a\nb"), "ValueError: a b"), (UsageError("bad"), "bad"), (StoreError("disk"), "disk")],
)
def test_whatever_a_step_raises_is_its_reason(error, reason, tmp_path, monkeypatch):
    def raise_it(bench, step):
        raise error

    monkeypatch.setitem(module.STEPS, "sweep", raise_it)
    states = one_slice(tmp_path / "out", read(tmp_path))
    assert [state.status for state in states] == ["ok", "failed", "ok"]
    assert states[1].reason == reason


def test_an_interrupted_step_is_left_for_the_next_slice(tmp_path, monkeypatch):
    campaign, folder = read(tmp_path), tmp_path / "out"

    def interrupt(bench, step):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(module.STEPS, "sweep", interrupt)
        assert [state.status for state in one_slice(folder, campaign)] == ["ok", "left", "left"]
    assert exit_code(one_slice(folder, campaign)) == 0


def test_a_step_that_gets_nothing_done_is_given_up(tmp_path, monkeypatch):
    campaign, folder = read(tmp_path), tmp_path / "out"
    monkeypatch.setitem(module.STEPS, "sweep", lambda bench, step: Outcome(StepStatus.PART, "stuck", (), 7))
    codes = [exit_code(one_slice(folder, campaign)) for _ in range(3)]
    assert codes == [3, 3, 1]
    assert state_of(folder, campaign.steps)[1].reason == "nothing was done in 3 slices: stuck"


def test_a_step_that_ends_the_program_is_given_up(tmp_path, monkeypatch):
    campaign, folder = read(tmp_path), tmp_path / "out"

    def die(bench, step):
        raise SystemExit

    monkeypatch.setitem(module.STEPS, "sweep", die)
    for _ in range(3):
        with pytest.raises(SystemExit):
            one_slice(folder, campaign)
    states = one_slice(folder, campaign)
    assert (states[1].status, states[1].reason) == ("failed", "the program ended 3 times in this step")
    assert states[2].status == "ok"


def test_a_torn_journal_loses_its_last_row_alone(tmp_path):
    campaign, folder = read(tmp_path), tmp_path / "out"
    one_slice(folder, campaign)
    path = folder / module.JOURNAL
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="cut short"):
        states = one_slice(folder, campaign)
    assert exit_code(states) == 0


def test_another_campaign_in_the_folder_is_refused(tmp_path):
    folder = tmp_path / "out"
    one_slice(folder, read(tmp_path))
    with pytest.raises(UsageError, match="holds another campaign; it differs in steps"):
        one_slice(folder, read(tmp_path, SWEEPS.replace("repeats = 3", "repeats = 4")))


def test_two_writers_are_refused(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    lock = take_lock(folder)
    with pytest.raises(StoreError, match="another process"):
        one_slice(folder, read(tmp_path))
    lock.release()


def test_the_slice_starts_what_fits_and_the_first_unit_always():
    now = [0.0]
    time = Slice(10.0, clock=lambda: now[0])
    assert time.starts(100.0)
    now[0] = 4.0
    assert time.starts(6.0)
    assert not time.starts(6.1)
    now[0] = 10.0
    assert not time.starts(0.0)
    assert time.left() == 0.0


@pytest.mark.parametrize("name", ["campaign", "campaign.toml", "sweeps/campaign.toml"])
def test_the_shipped_campaign_is_found_and_parses(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_campaign(name) == data_folder("sweeps") / "campaign.toml"
    campaign = read_campaign(find_campaign(name))
    assert [step.kind for step in campaign.steps][:4] == ["doctor", "build", "verify", "sweep"]
    assert campaign.steps[-1].kind == "render"
    assert {step.kind for step in campaign.steps} == set(module.STEPS)
    goals = {(goal.figure, goal.h, goal.nm): goal.least for goal in campaign.targets.goals}
    assert [goals["vs_glu", 4096, nm] for nm in (1, 2, 4, 8)] == [1.70, 1.60, 1.45, 1.20]
    assert {goals["share_of_ceiling", 4096, nm] for nm in (1, 2, 4, 8)} == {0.90}
    assert {goals["share_of_ceiling", 2048, nm] for nm in (1, 2, 4, 8)} == {0.80}
    for h in (2048, 4096):
        assert (goals["vs_slowest_naive", h, 8], goals["vs_naive", h, 8]) == (40, 20)
    assert campaign.targets.dtypes == ("float16", "bfloat16")
    first, last = [step for step in campaign.steps if step.name in (campaign.targets.first, campaign.targets.step)]
    for judged in (first, last):
        assert {"mglu-naive", "mglu-naive-float", "mglu-naive-complement"} <= set(judged.sweep.variants)
        assert {"swiglu", "swiglu-merged", "swiglu-fused"} <= set(judged.sweep.variants)
    assert first.sweep.dtype == campaign.targets.dtypes
    assert {(goal.h, goal.d) for goal in campaign.targets.goals} == set(first.sweep.shapes)
    assert {goal.nm for goal in campaign.targets.goals} == set(first.sweep.nm)


BAD = {
    "syntax": ("device = ", "invalid value (at line 1"),
    "no steps": ('device = "cpu"', "no steps"),
    "key": ('devise = "cpu"', "unknown key 'devise'; did you mean device?"),
    "kind": ('[[step]]\nkind = "sweeep"', "step 1 (sweeep): unknown kind 'sweeep'; did you mean sweep?"),
    "option": ('[[step]]\nkind = "aa"\nrepeat = 3', "unknown key 'repeat'; did you mean repeats?"),
    "number": ('[[step]]\nkind = "agree"\ntimeout = "soon"', "timeout must be a number above 0, got 'soon'"),
    "shape": ('[[step]]\nkind = "sweep"\nshape = "12"', "shape '12' is not HxD"),
    "twice": ('[[step]]\nkind = "doctor"\n[[step]]\nkind = "doctor"', "name 'doctor' is taken"),
    "of": ('[[step]]\nkind = "profile"\nof = "paper"', "of = 'paper' names no earlier sweep step"),
    "config": ('[[step]]\nkind = "sweep"\nconfig = "nowhere"', "no sweep file 'nowhere'"),
    "target": ('[[step]]\nkind = "doctor"\n[targets]\nstep = "x"', "step = 'x' names no earlier sweep step"),
    "goal": (
        '[[step]]\nkind = "sweep"\n[targets]\nstep = "sweep"\ngoal = [{ figure = "vs_glu", nm = 1 }]',
        "a goal lacks shape, least",
    ),
    "least": (
        '[[step]]\nkind = "sweep"\n[targets]\nstep = "sweep"\n'
        'goal = [{ figure = "vs_glu", shape = "1x1", nm = [1, 2], least = [1.0, 2.0, 3.0] }]',
        "a goal has 2 nm and 3 least",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_file_is_refused_with_its_name_and_the_step(name, tmp_path):
    text, complaint = BAD[name]
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert complaint in str(refused.value)
    assert str(tmp_path / "mine.toml") in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ('name = "x"\n\ndevise = "cpu"', 3, "unknown key 'devise'"),
        ('name = "x"\ndevice = "gpu"\n[[step]]\nkind = "doctor"', 2, "device"),
        ('device = "auto"', 1, "device must be cpu"),
        ('[[step]]\nkind = "doctor"\n\n[[step]]\n# a note\nkind = "sweeep"\n', 6, "unknown kind 'sweeep'"),
        ('[[step]]\nkind = "doctor"\n[[step]]\nname = "s"\nkind = "sweep"\nnm = [99]\n', 6, "nm is 99"),
        ('[[step]]\nkind = "sweep"\nvariants = ["lu", "lux"]\n', 3, "unknown variant 'lux'; did you mean lu"),
        ('[[step]]\nkind = "tune"\ntimeout = 5\nvariants = ["flash"]\n', 4, "unknown variant 'flash'"),
        ('[[step]]\nkind = "sweep"\n[targets]\nstep = "sweep"\nvariants = ["nix"]', 5, "unknown variant 'nix'"),
        ('[[step]]\nkind = "sweep"\nmin_samples = 9999\n', 3, "min-samples is 9999"),
        ('targets = 3\n[[step]]\nkind = "doctor"', 1, "targets: write a [targets] table, not 3"),
        ('[[step]]\nkind = "sweep"\n[targets]\nstep = "sweep"\ngoal = ["x"]', 5, "goal must be a list of tables"),
        ('step = [{ kind = "doctor" }, { kind = "nix" }]', 1, "step 2 (nix): unknown kind 'nix'"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(text, line, complaint, tmp_path):
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'mine.toml'}, line {line}: ")
    assert complaint in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_campaign(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SWEEPS.encode().replace(b"\n", b"\r\n"))
    assert read_campaign(path) == read(tmp_path)


def test_a_process_is_killed_with_its_children_when_its_time_is_up(tmp_path):
    log = tmp_path / "log"
    ended = run_process(("sh", "-c", "echo before; sleep 30 & wait"), 0.5, log=log)
    assert (ended.code, ended.out) == (None, "before\n")
    assert "exit code None" in log.read_text()
    assert run_process((str(tmp_path / "nothing"),), 1.0).said().endswith("No such file or directory")


RIGHT = {"variants": [{"variant": "x", "result": "right"}]}
NO_ERRORS = "========= ERROR SUMMARY: 0 errors\n"


@pytest.mark.parametrize(
    ("code", "text", "result", "status"),
    [
        (0, NO_ERRORS, RIGHT, "ok"),
        (0, "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", RIGHT, "ok"),
        (0, NO_ERRORS, {"variants": [{"variant": "x", "result": "not run"}]}, "error"),
        (0, NO_ERRORS + '"result": "right"\n', None, "error"),
        (86, "========= ERROR SUMMARY: 3 errors\n", RIGHT, "found"),
        (0, "========= ERROR SUMMARY: 1 error\n", RIGHT, "found"),
        (86, "", None, "found"),
        (1, NO_ERRORS, RIGHT, "error"),
        (0, "", RIGHT, "error"),
        (None, NO_ERRORS, RIGHT, "timeout"),
    ],
)
def test_only_a_clean_summary_of_a_program_that_ended_well_is_clean(code, text, result, status):
    assert sanitizer_verdict(Answer(Ended(code, text, ""), result))[0] == status


def test_every_cell_is_tuned_by_a_command_of_its_own(tmp_path):
    text = '[[step]]\nkind = "tune"\nshape = ["64x96", "8x8"]\nnm = [1, 2]\nseconds = 0.5\n'
    jobs = _tune_jobs(read(tmp_path, text).steps[0].options, "cuda:1")
    assert next(iter(jobs)) == "flash-mglu-mma/64x96/1/1/float16/cold"
    assert len(jobs) == 4
    words = jobs["flash-mglu-mma/8x8/2/1/float16/cold"]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options["--shape"] == "8x8"
    assert options["--nm"] == "2"
    assert options["--device"] == "cuda:1"
    assert options["--seconds"] == "0.5"
