"""The record of a run's surroundings: what cannot be read is left out, and every reader of JSON takes the rest."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest

from mglubench.hardware import doctor, environment
from mglubench.hardware.environment import available_memory, device_here, host_record, total_memory
from mglubench.report.summary import heading


def refuse(*args, **options):
    raise OSError("not here")


def test_memory_is_the_machines_or_the_limit_of_the_control_groups(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 8000, "available": 5000}))
    monkeypatch.setattr(environment, "memory_limit", lambda: None)
    monkeypatch.setattr(environment, "memory_left", lambda: None)
    assert (total_memory(), available_memory()) == (8000, 5000)
    monkeypatch.setattr(environment, "memory_limit", lambda: 4000)
    monkeypatch.setattr(environment, "memory_left", lambda: 0)
    assert (total_memory(), available_memory()) == (4000, 0)


def test_memory_is_known_where_psutil_cannot_tell_it(monkeypatch):
    real = psutil.virtual_memory().total
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(environment, "memory_limit", lambda: None)
    assert total_memory() == pytest.approx(real, rel=0.05)
    assert available_memory() > 0


def test_bytes_that_are_no_text_reach_no_header(monkeypatch):
    monkeypatch.setenv("OMP_STRANGE", "a\udcffb")
    monkeypatch.setattr(sys, "argv", ["/x/mglubench", "--out", "run\udcff"])
    record = json.loads(json.dumps(host_record()))
    assert record["variables"]["OMP_STRANGE"] == "a?b"
    assert record["command"] == ["mglubench", "--out", "run?"]


def test_threads_are_recorded_and_left_out_where_numba_cannot_be_imported(monkeypatch):
    torch = pytest.importorskip("torch")
    known = device_here("cpu")
    assert known.torch_threads == torch.get_num_threads()
    assert known.numba_threads >= 1
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", refuse)
    record = device_here("cpu").to_dict()
    assert "numba_threads" not in record
    assert "cpu_capability" not in record


def test_a_record_changes_no_number_of_threads():
    pytest.importorskip("torch")
    program = (
        "import torch; from mglubench.hardware.environment import device_here; torch.set_num_threads(1); "
        "print(device_here('cpu').torch_threads, torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"


def test_the_doctor_says_when_threads_are_uneven(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(doctor, "numba_threads", lambda: 7)
    found = doctor._threads()
    assert found.detail == "torch uses 1 thread, Numba 7"
    assert "OMP_NUM_THREADS" in found.advice
    monkeypatch.setattr(doctor, "numba_threads", lambda: None)
    assert doctor._threads().detail == "torch 1, Numba ?"


def test_a_heading_says_what_could_be_used():
    import pandas as pd

    from tests.conftest import make_header

    frame = pd.DataFrame()
    header = make_header()
    header["environment"]["cpu"] |= {"cores": 2, "machine_cores": 8}
    header["environment"]["devices"]["cpu"] |= {"torch_threads": 1, "numba_threads": 2}
    frame.attrs["run"] = header
    assert heading(frame)[0] == (
        "cpu: hand-made CPU, 2 of the machine's 8 cores, 32 MiB last-level cache; torch uses 1 thread, Numba 2"
    )
