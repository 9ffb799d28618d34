"""The main job for real, on a tiny layer: sweep, store, report, verify, and a variant from someone else's package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import mglubench
from tests.conftest import TINY, make_plugin, run_command

BRIEF = ("--max-seconds", "0.05", "--rounds", "3", "--processes", "2", "--no-ceiling")
NAMES = ("lu", "swiglu", "swiglu-merged", "mglu-naive", "mglu-premasked", "mglu-numba-cpu")

TWICE = '''
    from mglubench import Case, Problem, Variant

    class Twice(Variant):
        """A layer computed twice."""
        name = "swiglu-twice"
        summary = "someone else's layer"
        layer = "glu"
        devices = ("cpu",)

        def prepare(self, problem: Problem):
            from torch.nn.functional import linear, silu
            gate, value, x, y = problem.weight, problem.weight_value, problem.x, problem.y
            def launch():
                for _ in range(2):
                    y.copy_(silu(linear(x, gate)) * linear(x, value))
            return launch
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def swept(folder):
    """One real sweep, with a plugin's variant beside the built-in ones."""
    plugin = make_plugin(folder / "site", TWICE, {"twice": "Twice"})
    names = ",".join((*NAMES, "swiglu-twice"))
    return run_command(
        "sweep", *TINY, *BRIEF, "--variants", names, "--mode", "cold,hot", "--out", "run", "--json",
        cwd=folder, env=plugin.env,
    )  # fmt: skip


def test_every_case_is_measured_and_right(swept, folder):
    assert swept.code == 0, swept.err
    frame = mglubench.load(folder / "run")
    assert len(frame) == 2 * (4 + 3 * 2)
    assert set(frame["status"]) == {"ok"}
    assert (frame["samples"] >= 5).all()
    assert (frame["latency_us"] > 0).all()
    assert (frame["latency_low_us"] <= frame["latency_us"]).all()
    assert (frame[["error_before", "error_after"]] < 1e-5).all(axis=None)
    assert (frame[["overhead_prepare_s", "overhead_check_s", "overhead_isolation_s"]] >= 0).all(axis=None)


def test_cold_and_hot_say_what_they_did(swept, folder):
    frame = mglubench.load(folder / "run")
    assert frame.loc[frame["mode"] == "cold", "timer"].str.contains("MiB walked").all()
    assert frame.loc[frame["mode"] == "hot", "timer"].str.contains("left warm").all()


def test_the_record_says_where_it_was_made(swept, folder):
    environment = mglubench.load(folder / "run").attrs["run"]["environment"]
    assert environment["cpu"]["cores"] >= 1
    assert environment["packages"]["torch"]
    assert environment["devices"]["cpu"]["torch_threads"] >= 1
    assert "sweep" in environment["command"]


def test_the_printed_document_holds_the_stored_rows(swept, folder):
    document = json.loads(swept.out)
    assert [row["key"] for row in document["rows"]] == mglubench.load(folder / "run")["key"].tolist()
    assert not document["run"]["fake"]
    twice = [row for row in document["rows"] if row["variant"] == "swiglu-twice"]
    assert all(row["vs_glu_low"] <= row["vs_glu"] <= row["vs_glu_high"] for row in twice)


def test_a_real_run_is_reported_without_the_plugin(swept, folder):
    result = run_command("report", "run", "--markdown", cwd=folder)
    assert result.code == 0
    assert "FAKE" not in result.out
    assert "swiglu-twice" in result.out


def test_verify_for_real(tmp_path):
    result = run_command(
        "verify", "--variants", "lu,mglu-numba-cpu", "--nm", "3", "--dtype", "float32", "--json", cwd=tmp_path
    )
    assert result.code == 0, result.err
    rows = json.loads(result.out)["variants"]
    assert {row["variant"]: row["result"] for row in rows} == {"lu": "right", "mglu-numba-cpu": "right"}
    assert list(tmp_path.iterdir()) == []


def test_listing_and_help_import_nothing_heavy():
    code = (
        "import sys, mglubench, mglubench.cli.app, mglubench.cases.config, mglubench.variants.registry as registry;"
        "registry.variants();"
        "print([name for name in ('torch', 'numba', 'pandas', 'matplotlib', 'triton') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
