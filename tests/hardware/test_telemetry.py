"""GPU readings: with a driver, with a driver that refuses, without one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from mglubench.hardware import telemetry
from mglubench.hardware.telemetry import GpuTelemetry, throttle_words, too_slow


class RefusedError(Exception):
    pass


def refuse(*args):
    raise RefusedError("not supported")


def fake_pynvml(**changes):
    module = ModuleType("pynvml")
    module.NVML_CLOCK_SM, module.NVML_CLOCK_MEM, module.NVML_TEMPERATURE_GPU = 1, 2, 0
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"handle {index}",
        "nvmlDeviceGetClockInfo": lambda handle, clock: {1: 1700, 2: 2600}[clock],
        "nvmlDeviceGetPowerUsage": lambda handle: 345678,
        "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: 0x4 | 0x40,
        "nvmlDeviceGetApplicationsClock": refuse,
        "nvmlDeviceGetMaxClockInfo": lambda handle, clock: {1: 1980, 2: 2619}[clock],
        "nvmlDeviceGetName": lambda handle: b"Imagined GPU",
        "nvmlDeviceGetUUID": lambda handle: "GPU-1",
        "nvmlSystemGetDriverVersion": lambda: "600.1",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 << 30),
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700000,
        "nvmlDeviceGetMigMode": refuse,
        "nvmlDeviceGetEccMode": lambda handle: [1, 1],
    }
    for name, answer in {**answers, **changes}.items():
        setattr(module, name, answer)
    return module


@pytest.fixture
def driver(monkeypatch):
    def install(**changes):
        monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(**changes))
        telemetry.nvml.cache_clear()
        return GpuTelemetry(0)

    yield install
    telemetry.nvml.cache_clear()


def test_readings_are_named_with_their_units(driver):
    assert driver().read() == {
        "sm_mhz": 1700,
        "memory_mhz": 2600,
        "watts": 345.678,
        "celsius": 61,
        "throttle": ["power cap", "thermal (hardware)"],
    }


def test_readings_that_the_card_refuses_are_left_out(driver):
    gpu = driver(nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetCurrentClocksThrottleReasons=refuse)
    assert gpu.available
    assert set(gpu.read()) == {"sm_mhz", "memory_mhz", "celsius"}


def test_the_record_identifies_the_card(driver):
    card = driver().card()
    assert card.name == "Imagined GPU"
    assert card.memory_bytes == 80 << 30
    assert card.power_limit_watts == 700.0
    assert card.ecc == 1
    assert card.driver == "600.1"
    assert "mig" not in card.to_dict()


def test_the_expected_clock_is_the_application_clock_if_there_is_one(driver):
    assert driver().expected_sm_mhz() == 1980
    assert driver(nvmlDeviceGetApplicationsClock=lambda handle, clock: 1755).expected_sm_mhz() == 1755


@pytest.mark.parametrize("broken", [{"nvmlInit": refuse}, {"nvmlDeviceGetHandleByIndex": refuse}])
def test_without_a_driver_there_is_nothing_to_read(driver, broken):
    gpu = driver(**broken)
    assert not gpu.available
    assert gpu.read() == {}
    assert gpu.card() is gpu.uuid is None
    assert gpu.expected_sm_mhz() is None


def test_without_the_package_there_is_nothing_to_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    telemetry.nvml.cache_clear()
    try:
        assert telemetry.nvml() is None
    finally:
        telemetry.nvml.cache_clear()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (None, None),
        (0, []),
        (0x1, []),
        (0x4, ["power cap"]),
        (0x8 | 0x80, ["hardware slowdown", "power brake"]),
        (0x1FF, None),
    ],
)
def test_throttle_bits_become_words(mask, words):
    found = throttle_words(mask)
    if mask == 0x1FF:
        assert len(found) == 8
        assert "idle" not in found
    else:
        assert found == words


def test_a_block_is_too_slow_below_three_quarters_of_the_expected_clock():
    assert too_slow([{"sm_mhz": 1500}, {"sm_mhz": 1499}], 2000)
    assert not too_slow([{"sm_mhz": 1500}, {"sm_mhz": 2000}], 2000)
    assert not too_slow([{"sm_mhz": 1}], None)
    assert not too_slow([{"celsius": 40}], 2000)
    assert not too_slow([], 2000)


def test_a_card_is_found_by_its_uuid_before_its_number(driver, monkeypatch):
    torch = pytest.importorskip("torch")
    driver(nvmlDeviceGetHandleByUUID=lambda uuid: f"handle of {uuid}", nvmlDeviceGetName=lambda handle: handle)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"abc{index}"))
    assert GpuTelemetry.of_cuda("cuda:1").card().name == "handle of GPU-abc1"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace())
    assert GpuTelemetry.of_cuda("cuda:1").card().name == "handle 1"


def mig_driver(driver, monkeypatch, **changes):
    """A driver of two cards, of which the second is cut in slices; torch's device 0 is a slice of it."""
    torch = pytest.importorskip("torch")
    known = {"GPU-whole": "card 0", "MIG-slice": "slice"}

    def by_uuid(uuid):
        return known[uuid] if uuid in known else refuse()

    def clock(handle, kind):
        return {"card 0": 210, "card 1": 1700}.get(handle) or refuse()

    driver(
        **{
            "nvmlDeviceGetHandleByUUID": by_uuid,
            "nvmlDeviceGetHandleByIndex": lambda index: f"card {index}",
            "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda handle: {"slice": "card 1"}[handle],
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetClockInfo": clock,
            "nvmlDeviceGetName": lambda handle: handle,
            "nvmlDeviceGetMigMode": lambda handle: [1, 1] if handle == "card 1" else refuse(),
            **changes,
        }
    )

    def of(uuid):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuid))
        return GpuTelemetry.of_cuda("cuda:0")

    return of


def test_a_slice_of_a_card_is_read_from_the_card_that_it_is_cut_from(driver, monkeypatch):
    gpu = mig_driver(driver, monkeypatch)("slice")
    assert gpu.uuid == "MIG-slice"
    assert (gpu.card().name, gpu.card().mig) == ("card 1", 1)
    assert gpu.read()["sm_mhz"] == 1700
    assert not too_slow([gpu.read()], gpu.expected_sm_mhz())


def test_a_device_that_the_driver_does_not_know_is_not_mistaken_for_another(driver, monkeypatch):
    gpu = mig_driver(driver, monkeypatch)("stranger")
    assert not gpu.available
    assert gpu.read() == {}
    assert not too_slow([gpu.read()], gpu.expected_sm_mhz())
    assert mig_driver(driver, monkeypatch, nvmlDeviceGetCount=lambda: 1)("stranger").card().name == "card 0"


def test_a_slice_whose_card_tells_no_clock_is_never_too_slow(driver, monkeypatch):
    gpu = mig_driver(driver, monkeypatch, nvmlDeviceGetClockInfo=refuse)("slice")
    assert "sm_mhz" not in gpu.read()
    assert gpu.read()["celsius"] == 61
    assert not too_slow([gpu.read()], gpu.expected_sm_mhz())
    lost = mig_driver(driver, monkeypatch, nvmlDeviceGetDeviceHandleFromMigDeviceHandle=refuse)("slice")
    assert (lost.uuid, lost.read(), lost.card(), lost.expected_sm_mhz()) == ("MIG-slice", {}, None, None)


@pytest.mark.parametrize("question", sorted(name for name in vars(fake_pynvml()) if name.startswith("nvml")))
@pytest.mark.parametrize("how", ["refused", "unknown to the package"])
def test_each_single_question_may_fail(driver, question, how):
    gpu = driver(**{question: refuse})
    if how != "refused":
        delattr(sys.modules["pynvml"], question)
    assert isinstance(gpu.read(), dict)
    assert gpu.expected_sm_mhz() in (None, 1980.0)
    assert gpu.card() is None or None not in gpu.card().to_dict().values()
    assert telemetry.driver_version() in (None, "600.1")
    assert telemetry.card_count() == 0
