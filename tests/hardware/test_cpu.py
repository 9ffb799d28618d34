"""The CPU: a name for every kind, no reading that must be there, cores that can be used beside those that exist."""

from __future__ import annotations

import json
import platform

import psutil
import pytest

from mglubench.hardware import cpu
from mglubench.hardware.cpu import Cpu, cpu_here, cpu_model, thread_words

ARM = """processor\t: {number}
BogoMIPS\t: {bogo}
Features\t: fp asimd
CPU implementer\t: {implementer}
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: {part}
CPU revision\t: 1
"""


def arm(*cores, bogo="243.75"):
    blocks = (ARM.format(number=n, implementer=i, part=p, bogo=bogo) for n, (i, p) in enumerate(cores))
    return "\n".join(blocks)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The name of a CPU whose /proc/cpuinfo and firmware say this."""

    def of(text, machine=""):
        (tmp_path / "cpuinfo").write_text(text)
        (tmp_path / "product_name").write_bytes(machine.encode())
        monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(cpu, "MACHINE_NAMES", (tmp_path / "nothing", tmp_path / "product_name"))
        return cpu_model()

    return of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\n\nprocessor\t: 1\nmodel name\t: Intel(R) Xeon(R)\n",
            "Intel(R) Xeon(R)",
        ),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t: 2300MHz\n", "POWER9, altivec supported"),
        (arm(("0x41", "0xd0c"), ("0x41", "0xd0c")), "Neoverse-N1 r3p1"),
        (arm(("0x41", "0xd4f")), "Neoverse-V2 r3p1"),
        (arm(("0x41", "0xd03"), ("0x41", "0xd08")), "Cortex-A53 r3p1 + Cortex-A72 r3p1"),
        (arm(("0x99", "0x123")), "Arm core 0x99:0x123 r3p1"),
    ],
)
def test_a_processor_is_named_by_what_the_system_says_of_it(model, text, name):
    assert model(text) == name


def test_two_kinds_of_arm_machine_are_two_devices_and_one_is_one_on_every_boot(model):
    assert model(arm(("0x41", "0xd0c"))) != model(arm(("0x41", "0xd40")))
    assert model(arm(("0x99", "0x123"))) != model(arm(("0x99", "0x124")))
    assert model(arm(("0x41", "0xd0c")), "one\0") == "Neoverse-N1 r3p1 (one)"
    assert model(arm(("0x41", "0xd0c")), "another\n") == "Neoverse-N1 r3p1 (another)"
    assert model(arm(("0x41", "0xd0c"))) == model(arm(("0x41", "0xd0c"), bogo="50.00"))


def test_a_processor_without_any_name_is_known_by_what_is_said_of_it(model):
    names = {model(f"processor : 0\nisa : {isa}\nhart : 3\n") for isa in ("rv64imafdc", "rv64imafdcv")}
    assert len(names) == 2
    assert all(name.startswith(f"{platform.machine()} ") for name in names)
    assert model("processor : 0\nisa : rv64\nhart : 3\n") == model("processor : 0\nisa : rv64\nhart : 1\n")
    assert model("")


def test_without_cpuinfo_there_is_still_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "nothing")
    assert cpu_model() == (platform.processor() or platform.machine())


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no such file"), NotImplementedError(), ZeroDivisionError(), RuntimeError()]
)
def test_a_clock_that_cannot_be_read_is_left_out(monkeypatch, error):
    def refuse():
        raise error

    monkeypatch.setattr(psutil, "cpu_freq", refuse)
    assert "mhz" not in cpu_here().to_dict()
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    assert cpu_here().mhz is None


def test_a_cache_of_a_strange_size_is_left_out(tmp_path, monkeypatch):
    for name, text in (("index0", "32K"), ("index1", "lots"), ("index2", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(text)
    monkeypatch.setattr(cpu, "CACHES", tmp_path)
    assert cpu.last_level_cache() == 32 << 10


def test_the_cores_that_can_be_used_stand_beside_those_of_the_machine(monkeypatch):
    assert Cpu("x", "y", 8, 8).cores_in_words == Cpu("x", "y", 8).cores_in_words == "8 cores"
    assert Cpu("x", "y", 2, 8).cores_in_words == "2 of the machine's 8 cores"
    assert Cpu("x", "y", 1.5, 8, quota=1.5).cores_in_words == "1.5 of the machine's 8 cores by quota"
    monkeypatch.setattr(cpu, "usable_cores", lambda proc: 1.5)
    monkeypatch.setattr(cpu.os, "cpu_count", lambda: 64)
    assert cpu_here().cores_in_words == "1.5 of the machine's 64 cores"


def test_a_cpu_comes_back_from_json_and_from_headers_of_before():
    here = cpu_here()
    assert Cpu.from_dict(json.loads(json.dumps(here.to_dict()))) == here
    before = {"model": "Xeon", "architecture": "x86_64", "cores": 2, "mhz": None, "cache_bytes": 1 << 20}
    assert Cpu.from_dict(before) == Cpu("Xeon", "x86_64", 2, cache_bytes=1 << 20)
    for strange in ({"cores": "many"}, None, [], "x"):
        assert Cpu.from_dict(strange).cores_in_words == "cores not known"


@pytest.mark.parametrize(
    ("torch", "numba", "cores", "words"),
    [
        (2, 2, 2, ""),
        (1, 2, 2, "torch uses 1 thread, Numba 2"),
        (4, 2, 4, "torch uses 4 threads, Numba 2"),
        (8, 8, 1.5, "8 threads on 1.5 cores"),
        (2, 2, 1.5, ""),
        (None, 2, 2, ""),
        (None, None, 2, ""),
        (8, 8, 0, ""),
    ],
)
def test_uneven_threads_are_said(torch, numba, cores, words):
    assert thread_words(torch, numba, cores) == words
