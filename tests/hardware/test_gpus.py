"""The GPU table: complete, sourced, plausible; and found by the names that people and drivers use."""

from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path

import pytest

from mglubench.cases.case import Case
from mglubench.errors import UsageError
from mglubench.hardware.cuda_toolchain import ARCHITECTURES, EVERY, architecture_of, capability
from mglubench.hardware.floors import floor_of, intensity
from mglubench.hardware.gpus import FIGURES, TABLE, gpu_named, gpu_of_device, gpus
from mglubench.kernels.occupancy import LIMITS, limits_of
from mglubench.layer.declared import declare
from tests.conftest import ROOT

RAW = tomllib.loads(TABLE.read_text())
REQUIRED = {
    "A100 SXM 40GB",
    "A100 SXM 80GB",
    "A100 PCIe 80GB",
    "H100 SXM",
    "H100 PCIe",
    "H200",
    "B200",
    "RTX 4090",
    "RTX 5090",
    "L4",
    "L40S",
    "RTX 3090",
    "B300",
    "GB10",
    "Thor",
}


def layer(h=2048, d=8192, nm=0, batch=1, dtype="float16"):
    return Case("", h, d, nm, batch, dtype, device="cuda")


@pytest.mark.parametrize("entry", RAW["gpu"], ids=lambda entry: entry["name"])
def test_every_figure_has_a_value_with_a_source_or_a_reason_for_its_absence(entry):
    assert set(entry) - {"aliases"} == {"name", "devices", "capability", *FIGURES}
    assert entry["devices"]
    for name in ("capability", *FIGURES):
        figure = entry[name]
        assert set(figure) in ({"value", "source"}, {"absent"}), name
        if "absent" in figure:
            assert len(figure["absent"]) > 10
        else:
            assert figure["source"] in RAW["sources"]
    assert "value" in entry["bandwidth"]


def test_every_source_is_used_and_has_an_address_or_says_that_there_is_none():
    used = {entry[name].get("source") for entry in RAW["gpu"] for name in ("capability", *FIGURES)}
    assert set(RAW["sources"]) == used - {None}
    for text in RAW["sources"].values():
        assert "https://" in text or "no NVIDIA document found" in text


def test_the_gpus_of_the_issue_are_there_and_their_figures_are_in_the_right_units():
    assert {gpu.name for gpu in gpus()} >= REQUIRED
    for gpu in gpus():
        assert re.fullmatch(r"(8|9|10|11|12)\.\d", gpu.capability)
        assert 16 * 2**30 <= gpu.figures["memory"] <= 512 * 2**30
        assert 0.1e12 < gpu.bandwidth < 20e12
        # Before Ada, a GPU for games had little of it.
        least = 6 if gpu.capability == "8.6" else 30
        assert gpu.l2_bytes is None or least * 2**20 <= gpu.l2_bytes <= 256 * 2**20
        assert 20 <= gpu.figures.get("sms", 20) <= 200
        assert 1.2e9 < (gpu.clock or 2e9) < 3.1e9, gpu.name
        assert gpu.figures.get("fp16") == gpu.figures.get("bf16")
        if {"fp32", "fp16"} <= set(gpu.figures):
            assert 10e12 < gpu.figures["fp32"] < gpu.figures["fp16"] < 5e15
        else:
            assert gpu.name in ("B300", "GB10", "Thor"), "what a document states is there"
        if "fp8" in gpu.figures:
            # Dense fp8 is twice dense fp16: a sparse figure among dense ones would show here.
            assert gpu.figures["fp8"] == pytest.approx(2 * gpu.figures["fp16"], rel=0.03)


def test_figures_that_everybody_knows():
    h100, rtx = gpu_named("H100 SXM"), gpu_named("RTX 5090")
    assert (h100.bandwidth, h100.l2_bytes, h100.capability) == (3.35e12, 50 * 2**20, "9.0")
    assert (rtx.bandwidth, rtx.l2_bytes, rtx.capability) == (1.792e12, 96 * 2**20, "12.0")
    assert h100.tensor_flops("float16") == 989.5e12
    assert h100.tensor_flops("float32") is None
    assert h100.best_flops("float32") == (67e12, "CUDA cores")
    assert rtx.best_flops("bfloat16") == (209.5e12, "tensor cores")
    assert gpu_named("L40S").l2_bytes is None
    assert "disagree" in gpu_named("L40S").sources["l2"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RTX 5090", "RTX 5090"),
        ("rtx5090", "RTX 5090"),
        ("NVIDIA GeForce RTX 5090", "RTX 5090"),
        ("H100", "H100 SXM"),
        ("h100-sxm", "H100 SXM"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("l4", "L4"),
        ("RTX 3090", "RTX 3090"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("DGX Spark", "GB10"),
        ("NVIDIA Thor", "Thor"),
    ],
)
def test_a_gpu_is_found_by_the_names_that_people_use(text, name):
    assert gpu_named(text).name == name


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("A100", "did you mean A100 SXM 40GB or A100 SXM 80GB or A100 PCIe 80GB?"),
        ("RTX 5080", "did you mean RTX 5090"),
        ("abacus", "known: A100 SXM 40GB, .*, L40S"),
        ("", "known: "),
    ],
)
def test_an_unknown_gpu_is_an_error_with_the_near_matches(text, advice):
    with pytest.raises(UsageError, match=rf"no data on a GPU '{text}'; {advice}"):
        gpu_named(text)


def test_every_gpu_and_every_architecture_has_limits_and_a_name_to_compile_for():
    assert {gpu.arch for gpu in gpus()} <= set(EVERY)
    assert {capability(arch) for arch in EVERY} == set(LIMITS)
    assert set(ARCHITECTURES) <= set(EVERY)
    assert [architecture_of(*divmod(capability(arch), 10)) for arch in EVERY] == list(EVERY)
    # CUDA C++ Programming Guide, technical specifications: bytes that a block may have by opting in.
    most = {80: 163, 86: 99, 87: 163, 89: 99, 90: 227, 100: 227, 103: 227, 110: 227, 120: 99, 121: 99}
    assert {capability(arch): limits_of(arch).shared_bytes_per_block // 1024 for arch in EVERY} == most


def test_a_device_is_matched_by_its_exact_name_alone():
    assert gpu_of_device("NVIDIA H200").name == "H200"
    assert gpu_of_device("NVIDIA L4").name == "L4"
    for other in (
        "NVIDIA H200 NVL",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA GeForce RTX 5090 D",
        "H100",
        "cpu",
        "",
    ):
        assert gpu_of_device(other) is None


def test_names_and_devices_are_unique():
    names = [name for gpu in gpus() for name in (gpu.name, *gpu.aliases)]
    devices = [name for gpu in gpus() for name in gpu.devices]
    assert len(set(names)) == len(names)
    assert len(set(devices)) == len(devices)


def test_the_floor_of_an_h100_by_hand():
    # 2048 * 8192 = 16,777,216 elements: W 33,554,432 B, eight masks 16,777,216 B, x 4,096 B, y 16,384 B.
    ledger = declare("mglu", layer(nm=8))
    assert ledger.total == 33_554_432 + 16_777_216 + 4_096 + 16_384 == 50_352_128
    floor = floor_of(ledger, gpu_named("H100 SXM"), "float16")
    assert floor.memory_us == pytest.approx(50_352_128 / 3.35e12 * 1e6) == pytest.approx(15.0305, abs=1e-4)
    # 2 * 16,777,216 * (8 + 1) FLOPs at 989.5 TFLOP/s.
    assert floor.compute_us == pytest.approx(301_989_888 / 989.5e12 * 1e6) == pytest.approx(0.30519, abs=1e-5)
    assert (floor.us, floor.bound, floor.in_l2) == (floor.memory_us, "memory", True)
    assert intensity(ledger) == pytest.approx(5.9976, abs=1e-4)


def test_many_tokens_are_bound_by_the_tensor_cores_and_float32_by_the_cuda_cores():
    h100 = gpu_named("H100 SXM")
    many = floor_of(declare("mglu", layer(nm=8, batch=1024)), h100, "float16")
    assert (many.bound, many.us) == ("tensor cores", many.compute_us)
    exact = floor_of(declare("glu", layer(batch=64, dtype="float32")), h100, "float32")
    assert (exact.bound, exact.unit) == ("CUDA cores", "CUDA cores")
    assert exact.us == pytest.approx(4 * 16_777_216 * 64 / 67e12 * 1e6)


def test_residency_in_l2_is_unknown_where_the_cache_is():
    ledger = declare("lu", layer(h=64, d=64))
    assert floor_of(ledger, gpu_named("L40S"), "float16").in_l2 is None
    assert floor_of(declare("glu", layer()), gpu_named("H100"), "float16").in_l2 is False


def test_the_table_is_inside_the_wheel(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("mglubench/hardware/gpus.toml") == Path(TABLE).read_bytes()
