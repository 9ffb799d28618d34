"""Derived frames of hand-made rows."""

from __future__ import annotations

import pytest

import mglubench
from mglubench.results.metrics import derive
from mglubench.results.store import RunStore
from tests.conftest import make_header


@pytest.fixture
def frame(tmp_path):
    def make(*rows, **header):
        with RunStore.create(tmp_path / "run", make_header(**header)) as store:
            for row in rows:
                store.append(row)
        return derive(mglubench.load(tmp_path / "run", samples=True))

    return make
