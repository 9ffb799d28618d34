"""The operator and the packed layer over weights of a format; importing torch."""

from __future__ import annotations

import pytest
import torch

from mglubench import flash_mglu, pack_weight
from mglubench.errors import UsageError
from mglubench.kernels import operator_backends
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.nn import MGLU, SwiMGLU, export_packed

NAMES = sorted(FORMATS)


@pytest.mark.parametrize("name", NAMES)
def test_the_operator_computes_with_what_is_stored(name):
    torch.manual_seed(0)
    weight, masks, x = torch.randn(24, 200), torch.rand(2, 24, 200) < 0.5, torch.randn(3, 200)
    full = pack_weight(FORMATS[name].quantise(weight).dequantised(), masks)
    packed = pack_weight(weight, masks, weights=name)
    torch.testing.assert_close(flash_mglu(x, packed), flash_mglu(x, full), rtol=1e-4, atol=1e-4)
    assert packed.weight.numel() * 8 < 24 * 200 * (FORMATS[name].bits + 4)
    compiled = torch.compile(flash_mglu, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, packed), flash_mglu(x, packed))
    assert flash_mglu(x.bfloat16(), packed).dtype == torch.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_layer_serves_a_format_and_comes_back_from_its_state(name):
    torch.manual_seed(0)
    layer = SwiMGLU(h=72, d=40, nm=2)
    packed, full = export_packed(layer, weights=name), export_packed(layer)
    x = torch.randn(5, 72)
    y = packed(x)
    packed.kernel_tokens = 0
    torch.testing.assert_close(packed(x), y, rtol=1e-4, atol=1e-4)
    lost = float((y - full(x)).norm() / full(x).norm())
    assert 1e-3 < lost < 0.5
    other = export_packed(SwiMGLU(h=72, d=40, nm=2), weights=name)
    other.load_state_dict(packed.state_dict())
    torch.testing.assert_close(other(x), y)
    assert f"weights={name}" in repr(packed)


def test_a_format_that_a_gpu_lacks_is_refused_with_what_would_work(monkeypatch):
    def reason(oldest):
        return "needs compute capability 8.9 or newer, this GPU has 8.6" if oldest > 86 else None

    monkeypatch.setattr(operator_backends, "why_too_old", reason)
    said = operator_backends.why_no_format("fp8-e4m3", "cuda")
    assert said == (
        "weights fp8-e4m3: needs compute capability 8.9 or newer, this GPU has 8.6; "
        "use same or int8 or int4 or mxfp4 there, or fp8-e4m3 on cpu"
    )
    assert operator_backends.why_no_format("int8", "cuda") is None
    assert operator_backends.why_no_format("fp8-e4m3", "cpu") is None
    assert operator_backends.why_no_dtype("float16", "int8", "cuda") is None
    assert operator_backends.why_no_dtype("float32", "int8", "cuda") == (
        "weights int8 are computed with in float16 on cuda, x is float32; convert it"
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_of_a_layer_comes_back_on_its_own_device(name):
    """No table of a format stays behind on the CPU."""
    rows = torch.zeros(8, FORMATS[name].cpu_row_bytes(200), dtype=torch.uint8, device="meta")
    made = FORMATS[name].from_cpu_rows(rows, 200).dequantised()
    assert (made.device.type, made.shape) == ("meta", (8, 200))


def test_what_no_kernel_takes_is_one_line():
    weight, masks = torch.randn(8, 16), torch.ones(1, 8, 16, dtype=torch.bool)
    with pytest.raises(UsageError, match="unknown weights 'int3'"):
        pack_weight(weight, masks, weights="int3")
    with pytest.raises(UsageError, match="int8 has no code for such"):
        pack_weight(weight * float("inf"), masks, weights="int8")
    with pytest.raises(UsageError, match="no kernel for weights int8; use weights same, or no top_k"):
        export_packed(MGLU(h=16, d=8, nm=2, top_k=1, untrained_router=True), weights="int8")
    with pytest.raises(UsageError, match=r"x is torch.float64"):
        flash_mglu(torch.randn(1, 16).double(), pack_weight(weight, masks, weights="int8"))
