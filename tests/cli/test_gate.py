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
BRIEF = ("--max-seconds", "0.05", "--min-samples", "3", "--mode", "hot", "--no-ceiling")
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
