"""nvcc's own libraries, launched through a stand-in for the CUDA runtime: streams, graphs, return codes. Not a GPU run.

The host half of each library is nvcc's, from the sources and with the flags of a GPU machine, but linked to a runtime
of ours: one that queues work per stream, refuses what is illegal in a capture, and runs the kernel by host emulation
from the arguments that it was given.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mglubench.layer.tolerance import TOLERANCES
from tests.standin.rehearse import environment, toolkit

PROGRAM = "tests.kernels_cuda.launch_program"
ROOT = Path(__file__).resolve().parents[2]
KERNELS = ("flash_mglu_paper", "flash_mglu_packed", "flash_mglu_mma", "flash_mglu_bulk")
KERNELS += ("flash_mglu_routed", "swiglu_fused", "stream_read")


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    tools = toolkit()
    if tools is None:
        pytest.skip("no nvcc or no headers of CUDA 13; install the cu13 extra")
    if shutil.which("g++") is None:
        pytest.skip("no g++ on PATH")
    return environment(tools)


def run(variables: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *args]
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("kernel", KERNELS)
def test_launches_go_to_their_stream_and_into_graphs(variables: dict[str, str], kernel: str) -> None:
    done = run(variables, PROGRAM, kernel)
    assert done.returncode == 0, done.stderr[-3000:]
    errors: dict[str, float] = json.loads(done.stdout)
    assert {name for name, error in errors.items() if math.isnan(error)} == {
        "before its stream is synchronised",
        "captured",
    }
    assert max(errors[name] for name in ("launch", "replay 2", "replay 3")) <= TOLERANCES["float16"].relative


def test_the_operator_launches_weights_of_every_format(variables: dict[str, str]) -> None:
    done = run(variables, "tests.kernels_cuda.operator_program")
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert set(told) == {"int8", "int4", "fp8-e4m3", "mxfp4"}
    assert all(max(found) <= TOLERANCES["float16"].relative for found in told.values()), told


def test_a_launch_on_another_stream_is_noticed(variables: dict[str, str]) -> None:
    done = run(variables, PROGRAM, "flash_mglu_mma", "default stream")
    errors: dict[str, float] = json.loads(done.stdout)
    assert not math.isnan(errors["before its stream is synchronised"])
    assert not math.isnan(errors["captured"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("allocates", "CUDA error 900"),  # cudaErrorStreamCaptureUnsupported
        ("unprepared", "flash_mglu_bulk-nm2-float16-sm_90a"),  # more than 48 KB of shared memory, not asked for
    ],
)
def test_the_runtime_s_refusal_reaches_the_caller(variables: dict[str, str], fault: str, message: str) -> None:
    done = run(variables, PROGRAM, "flash_mglu_bulk", fault)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert "CUDA error" in done.stderr.splitlines()[-1]


def test_the_operator_s_calls_keep_to_their_streams_and_graphs(variables: dict[str, str]) -> None:
    done = run(variables, "tests.kernels_cuda.stream_program")
    assert done.returncode == 0, done.stderr[-3000:]
    out = json.loads(done.stdout)
    assert out.pop("zeroed for the second time") == 0, "a workspace is kept for the stream's next call"
    # Two slices of tokens in each of two graphs.
    assert out.pop("zeroed in captures") == [True] * 4
    limit = TOLERANCES["float16"].relative
    assert {name: max(errors) <= limit for name, errors in out.items()} == dict.fromkeys(out, True), out
    assert len(out) == 6
