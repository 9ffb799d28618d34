"""Tables, pictures, estimates and comparisons as Python objects; a run with its speed-ups."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
from matplotlib.figure import Figure

import mglubench
from mglubench.errors import UsageError
from tests.conftest import ROOT

MAIN_JOB = ROOT / "reports" / "cpu-main-job"


@pytest.fixture(scope="module")
def frame():
    return mglubench.load(MAIN_JOB)


def test_a_loaded_run_has_its_speed_ups(frame):
    assert not {"samples_ns", "rounds_of"} & set(frame.columns)
    best = frame[(frame["variant"] == "mglu-numba-cpu") & (frame["nm"] == 1)].iloc[0]
    assert best["vs_glu"] > 1
    assert best["vs_glu_low"] < best["vs_glu"] < best["vs_glu_high"]
    assert 0 < best["share_of_ceiling"] < 1


def test_one_layer_of_a_run_is_held_against_baselines_of_the_whole(frame):
    alone = mglubench.load(MAIN_JOB, layers=["mglu"])
    assert set(alone["layer"]) == {"mglu"}
    expected = frame[frame["layer"] == "mglu"].reset_index(drop=True)
    pd.testing.assert_series_equal(alone["vs_glu"], expected["vs_glu"])
    assert alone.attrs["run"]["folder"] == str(MAIN_JOB)


def test_tables_are_frames_by_title(frame):
    found = mglubench.tables(MAIN_JOB)
    assert [title.partition(":")[0] for title in found] == ["Latency and speed-up", "Memory", "Beside the paper"]
    first = next(iter(found.values()))
    assert {"variant", "nm", "latency_us", "vs_glu", "vs_glu_low"} <= set(first.columns)
    assert any("fastest GLU here" in note for note in first.attrs["notes"])
    assert list(mglubench.tables(frame)) == list(found)


def test_pictures_are_figures_and_touch_no_global_state():
    import matplotlib

    backend = matplotlib.get_backend()
    for figure in (mglubench.plot(MAIN_JOB), mglubench.roofline(MAIN_JOB, "bandwidth"), mglubench.roofline(MAIN_JOB)):
        assert isinstance(figure, Figure)
        assert figure.axes
    assert matplotlib.get_backend() == backend


def test_an_estimate_is_a_frame():
    found = mglubench.predict("RTX 5090", h=2048, d=8192, nm=[1, 4], datasheet=True)
    first = next(iter(found.values()))
    assert first["nm"].tolist() == [0, 0, 1, 4]
    assert (first["floor_us"] > 0).all()
    with pytest.raises(UsageError, match="unknown option 'mode'"):
        mglubench.predict("RTX 5090", mode="cold")


def test_a_comparison_is_a_frame(tmp_path):
    for name in ("a", "b"):
        mglubench.sweep(
            h=24, d=16, nm=2, variants="swiglu,mglu-naive", ceiling=False, executor="fake", out=tmp_path / name
        )
    found = mglubench.compare(tmp_path / "a", tmp_path / "b")
    frame = found.frame()
    assert len(frame) == len(found.all)
    latencies = frame[frame["what"] == "latency_us"]
    assert set(latencies["variant"]) == {"swiglu", "mglu-naive"}
    assert (latencies["base"] > 0).all()


def test_the_module_says_its_version_and_lists_its_surface():
    code = "import mglubench, sys; print(mglubench.__version__); print(*dir(mglubench)); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    version, names, heavy = done.stdout.splitlines()
    assert version.count(".") == 2
    assert {*mglubench.__all__, "__version__", "__doc__"} <= set(names.split())
    assert heavy == "False"
