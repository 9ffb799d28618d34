"""One device: through JSON and back, as old headers hold it, and what its datasheet adds."""

from __future__ import annotations

import json

import pytest

from mglubench.errors import StoreError
from mglubench.hardware.devices import Card, Device, Reading, devices_in

H100 = Device(
    "cuda",
    "NVIDIA H100 80GB HBM3",
    uuid="GPU-1",
    capability="9.0",
    memory_bytes=80 << 30,
    sm_count=132,
    l2_bytes=50 << 20,
    cuda="13.0",
    card=Card(name="NVIDIA H100 80GB HBM3", driver="600.1", sm_mhz_max=1980, power_limit_watts=700.0, mig=0),
    at_start=Reading(sm_mhz=1980, throttle=["power cap"]),
)
# As schema 1 wrote them before there was a type.
STORED_CPU = {
    "kind": "cpu",
    "name": "Intel(R) Xeon(R) Processor",
    "torch_threads": 2,
    "numba_threads": 2,
    "cpu_capability": "AVX512",
}
STORED_GPU = {
    "kind": "cuda",
    "name": "NVIDIA H100 80GB HBM3",
    "capability": "9.0",
    "memory_bytes": 1,
    "multiprocessors": 132,
    "l2_bytes": None,
    "cuda": "13.0",
    "nvml": {"name": "NVIDIA H100 80GB HBM3", "uuid": "GPU-1", "driver": "600.1", "ecc": 1},
    "nvml_at_start": {"sm_mhz": 1980, "throttle": []},
}


@pytest.mark.parametrize("device", [H100, Device("cpu", "some CPU", torch_threads=2), Device("cuda", "")])
def test_a_device_comes_back_from_json_as_it_was(device):
    assert Device.from_dict(json.loads(json.dumps(device.to_dict()))) == device


def test_a_header_of_before_is_read_and_written_alike():
    cpu, gpu = Device.from_dict(STORED_CPU), Device.from_dict(STORED_GPU)
    assert cpu.to_dict() == STORED_CPU
    assert gpu.to_dict() == {key: value for key, value in STORED_GPU.items() if value is not None}
    assert (gpu.sm_count, gpu.card.driver, gpu.at_start["sm_mhz"]) == (132, "600.1", 1980)


def test_an_optional_value_of_a_wrong_type_is_left_out():
    strange = {**STORED_GPU, "multiprocessors": "many", "memory_bytes": True, "nvml": [], "nvml_at_start": 7, "new": 1}
    device = Device.from_dict(strange)
    assert (device.sm_count, device.memory_bytes, device.card, device.at_start) == (None, None, None, None)
    assert Device.from_dict({**STORED_GPU, "nvml": {"driver": 600, "ecc": 1}}).card == Card(ecc=1)
    assert Device.from_dict({"kind": "cuda", "name": 5}).name == ""


@pytest.mark.parametrize("record", [None, [], "cuda", {}, {"kind": "tpu", "name": "x"}])
def test_what_is_no_device_is_one_line(record):
    with pytest.raises(StoreError) as caught:
        devices_in({"devices": {"cuda": record}})
    assert len(str(caught.value).splitlines()) == 1
    assert devices_in({}) == {}
    with pytest.raises(StoreError, match="devices are 3"):
        devices_in({"devices": 3})


def test_the_architecture_follows_from_the_capability():
    assert (H100.architecture, Device("cuda", "x", capability="8.6").architecture) == ("sm_90a", "sm_86")
    assert Device("cpu", "x").architecture is None


def test_the_datasheet_tells_what_cuda_does_not():
    assert Device.from_dict(STORED_GPU).l2_size == 50 * 2**20
    assert H100.peak_gb_per_s == 3350.0
    assert Device("cuda", "NVIDIA H100 80GB HBM3", l2_bytes=1234).l2_size == 1234
    slice_of_it = Device("cuda", "NVIDIA H100 80GB HBM3 MIG 1g.10gb")
    assert (slice_of_it.l2_size, slice_of_it.peak_gb_per_s) == (None, None)
    assert (Device.from_dict(STORED_CPU).l2_size, Device.from_dict(STORED_CPU).peak_gb_per_s) == (None, None)
