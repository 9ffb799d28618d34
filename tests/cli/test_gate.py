"""Variants that reach for what is not theirs, through the whole command line: the culprit pays, nobody else does."""

from __future__ import annotations

import json

import pytest

from tests.conftest import make_plugin, run_command

SOURCE = """
    import os

    from mglubench.variants.torch_eager import MGLUNaive

    class Culprit(MGLUNaive):
        name = "culprit"

        def prepare(self, problem):
            act = os.environ["ACT"]
            if act == "prepare":
                problem.weight[0, :3] = 5.0
            if act == "masks":
                problem.mask_tensor(0)[0, :5] = ~problem.mask_tensor(0)[0, :5]
            launch, calls = super().prepare(problem), []

            def run():
                launch()
                calls.append(1)
                if act == "launch" and len(calls) > 2:
                    problem.weight[0, :3] = 5.0
                if act == "x" and len(calls) > 2:
                    problem.x[0, :2] = 5.0

            return run
"""
BRIEF = (
    "--max-seconds",
    "0.05",
    "--min-samples",
    "3",
    "--mode",
    "hot",
    "--no-ceiling",
    "--rounds",
    "1",
    "--processes",
    "1",
)
SWEEP = ("sweep", "--shape", "64x48", "--nm", "2,3", "--variants", "culprit,mglu-premasked,lu,mglu-naive", *BRIEF)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("prepare", "changed weight, 3 elements"),
        ("masks", "changed mask 0, 5 elements"),
        ("launch", "changed weight, 3 elements"),
        ("x", "changed x, 2 elements"),
    ],
)
def test_who_changes_inputs_is_wrong_and_the_others_are_measured(tmp_path, act, words):
    plugin = make_plugin(tmp_path / "site", SOURCE, {"culprit": "Culprit"})
    done = run_command(*SWEEP, "--out", "run", cwd=tmp_path, env={**plugin.env, "ACT": act})
    assert done.code == 1, done.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    culprits = [row for row in rows if row["case"]["variant"] == "culprit"]
    others = [row for row in rows if row["case"]["variant"] != "culprit"]
    assert [row["status"] for row in culprits] == ["wrong", "wrong"]
    assert all(words in row["reason"] for row in culprits), [row["reason"] for row in culprits]
    assert [row["status"] for row in others] == ["ok"] * 5
    # True references: an error of exactly zero would be a reference that followed its variant.
    assert all(0 < check["relative"] < 1e-5 for row in others for check in row["checks"])


LITTER = """
    import gc, os, subprocess, threading

    import torch

    from mglubench.variants.torch_eager import LinearUnit

    class Litterer(LinearUnit):
        name = "litterer"

        def prepare(self, problem):
            torch.set_num_threads(1)
            torch.set_default_dtype(torch.float64)
            os.chdir("/")
            os.environ["LITTER"] = "1"
            gc.disable()
            threading.Thread(target=threading.Event().wait, daemon=True, name="litter").start()
            subprocess.Popen(["sleep", "1000"])
            return super().prepare(problem)
"""


def test_what_a_variant_leaves_in_the_worker_is_put_right_and_told(tmp_path):
    plugin = make_plugin(tmp_path / "site", LITTER, {"litterer": "Litterer"})
    env = {**plugin.env, "OMP_NUM_THREADS": "2"}
    arguments = ("sweep", "--shape", "64x48", "--variants", "litterer,swiglu", *BRIEF, "--out", "run")
    done = run_command(*arguments, cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    rows = {
        row["case"]["variant"]: row
        for row in map(json.loads, (tmp_path / "run" / "rows.jsonl").read_text().splitlines())
    }
    assert "notes" not in rows["swiglu"]
    told = " | ".join(rows["litterer"]["notes"])
    for words in (
        "changed torch threads 2 -> 1; restored",
        "changed torch's default dtype; restored",
        "changed the working folder",
        "changed environment variables (LITTER); restored",
        "changed the garbage collector True -> False; restored",
        "left 1 thread running (litter); cannot be ended",
        "left 1 child process running; ended",
    ):
        assert words in told
    shown = run_command("report", "run", "--markdown", cwd=tmp_path).out
    assert "in the worker's process it changed the working folder" in shown
