"""A run that commit a33161e made loads as it did then: every column, every value, every speed-up."""

from __future__ import annotations

import json
import math

import pytest

import mglubench
from mglubench.notices import LEAST_SAMPLES
from mglubench.results.metrics import derive
from tests.conftest import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
RUNS = ("real", "fake")


def plain(value):
    """A value of a frame as the frozen files hold it: gaps are null."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def kind(dtype):
    """``float64``, ``int64`` or ``bool``; all else is text or lists, whose dtype depends on pandas' version."""
    return str(dtype) if str(dtype) in ("float64", "int64", "bool") else "other"


@pytest.fixture(params=RUNS)
def stored(request):
    """An old run's folder, and what it gave when it was made."""
    expected = json.loads((FIXTURES / f"run_a33161e_{request.param}_frame.json").read_text())
    return FIXTURES / f"run_a33161e_{request.param}", expected


def test_an_old_run_has_the_columns_of_its_time_in_their_order(stored):
    folder, expected = stored
    frame = mglubench.load(folder, samples=True)
    assert [name for name in frame.columns if name in expected["columns"]] == list(expected["columns"])
    assert {name: kind(frame[name].dtype) for name in expected["columns"]} == {
        name: kind(column["dtype"]) for name, column in expected["columns"].items()
    }


def test_an_old_run_has_the_values_of_its_time(stored):
    folder, expected = stored
    frame = mglubench.load(folder, samples=True)
    few = [not samples or len(samples) < LEAST_SAMPLES for samples in frame["samples_ns"]]
    for name, column in expected["columns"].items():
        values = column["values"]
        if name.endswith(("_low_us", "_high_us")):
            # Fewer samples than an interval needs have none since.
            values = [None if gone else value for gone, value in zip(few, values, strict=True)]
        assert [plain(value) for value in frame[name].tolist()] == values, name


def test_an_old_run_gives_the_figures_of_its_time(stored):
    folder, expected = stored
    derived = derive(mglubench.load(folder, samples=True))
    for name, values in expected["derived"].items():
        found = [plain(value) for value in derived[name].tolist()]
        if name.endswith(("_low", "_high")):
            # One round cannot say what another would have given: only a base over itself is known.
            assert set(found) <= {None, 1.0}, name
        else:
            assert found == values, name
