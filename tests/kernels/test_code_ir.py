"""Weights of a format in the CPU kernels: every format against float64, by table look-up and by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.kernels import code_ir, cpu_layers
from mglubench.kernels.cpu_call import glu_call, mglu_call
from mglubench.kernels.cpu_choice import GLU, MGLU, adds_bytes
from mglubench.kernels.cpu_rows import RowShape
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.input_set import activate
from mglubench.layer.masks import pack


def layers(name, h, nm=2, tokens=1, d=11, dtype=torch.float32):
    """Outputs of both layers and their float64 references."""
    random = np.random.default_rng(h)
    gate, value = (
        FORMATS[name].quantise(torch.from_numpy(random.standard_normal((d, h), dtype=np.float32))) for _ in range(2)
    )
    x = torch.from_numpy(random.standard_normal((tokens, h), dtype=np.float32)).to(dtype)
    masks = random.random((nm, d, h)) < 0.5
    rows = [FORMATS[name].cpu_rows(matrix) for matrix in (gate, value)]
    found = [torch.full((tokens, d), float("nan"), dtype=dtype) for _ in range(2)]
    packed = torch.from_numpy(pack(masks, "row-lanes32").data)
    mglu_call(rows[0], packed, nm, "silu", weights=name)(x, found[0])
    glu_call(*rows, "silu", weights=name)(x, found[1])
    w, v, wide = gate.dequantised().double().numpy(), value.dequantised().double().numpy(), x.double().numpy()
    y = sum(activate(wide @ (w * mask).T, "silu") * (wide @ (w * ~mask).T) for mask in masks)
    return [(found[0], y), (found[1], activate(wide @ w.T, "silu") * (wide @ v.T))]


def error(found, expected):
    return float(np.linalg.norm(found.double().numpy() - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(("h", "nm", "tokens"), [(5, 1, 1), (160, 2, 3), (1120, 1, 1), (777, 4, 1)])
def test_every_format_is_computed(name, h, nm, tokens):
    for found, expected in layers(name, h, nm, tokens):
        assert error(found, expected) < 2e-6


@pytest.mark.parametrize("name", sorted(code_ir.NIBBLES))
def test_nibbles_are_converted_without_a_look_up(name, monkeypatch):
    """As on a machine without AVX-512; nothing that was compiled before is taken."""
    monkeypatch.setattr(code_ir, "has_table_lookup", lambda: False)
    monkeypatch.setattr(cpu_layers, "keep_code", lambda layer, *identity: layer)
    for made in (cpu_layers.mglu_layer, cpu_layers.glu_layer):
        made.cache_clear()
    try:
        for found, expected in layers(name, 160):
            assert error(found, expected) < 2e-6
    finally:
        for made in (cpu_layers.mglu_layer, cpu_layers.glu_layer):
            made.cache_clear()


def test_x_and_y_may_be_short():
    for found, expected in layers("int8", 96, tokens=2, dtype=torch.bfloat16):
        assert error(found, expected) < 1e-2


def test_loops_over_codes_take_a_line_at_a_time():
    for name, made in FORMATS.items():
        for kernel, nm in ((MGLU, 1), (MGLU, 16), (GLU, 0)):
            shape = kernel.shape(kernel.job(2048, 8192, nm, 1, name))
            assert shape.unroll % shape.blocks_per_line == 0
            assert shape.width == 2 * made.bits


def shapes_of(name, nm):
    """The shape of each layer's loop in fp32 and in digits, where the processor adds products of bytes."""
    if not adds_bytes():
        pytest.skip("this processor has no AVX-512 VNNI")
    rows = 2 if nm < 4 else 1
    masked, gated = RowShape(nm, 1, name, rows, 2, 512), RowShape(0, 1, name, 2, 2, 512, gated=True)
    return [(shape, shape._replace(digits=3)) for shape in (masked, gated)]


@pytest.mark.parametrize("name", ["int8", "int4"])
@pytest.mark.parametrize(("h", "nm"), [(777, 4), (1120, 1)])
def test_digits_of_x_are_as_exact_as_fp32(name, h, nm):
    """Whole chunks, groups and blocks behind them; more rows than streams; x far from zero and of all sizes."""
    (_, masked), (_, gated) = shapes_of(name, nm)
    random, d, made = np.random.default_rng(h + nm), 23, FORMATS[name]
    gate, value = (made.quantise(torch.from_numpy(random.standard_normal((d, h), dtype=np.float32))) for _ in range(2))
    rows, masks = [made.cpu_rows(matrix) for matrix in (gate, value)], random.random((nm, d, h)) < 0.5
    packed = torch.from_numpy(pack(masks, "row-lanes32").data)
    w, v = (matrix.dequantised().double().numpy() for matrix in (gate, value))
    normal = torch.from_numpy(random.standard_normal((1, h), dtype=np.float32))
    sizes = 10.0 ** torch.from_numpy(random.uniform(-6, 6, (1, h)).astype(np.float32))
    for x in (normal, (normal + 1000) / 1000, normal * sizes):
        found, wide = torch.full((1, d), float("nan")), x.double().numpy()
        mglu_call(rows[0], packed, nm, "relu", masked, weights=name)(x, found)
        expected = sum(activate(wide @ (w * mask).T, "relu") * (wide @ (w * ~mask).T) for mask in masks)
        assert error(found, expected) < 2e-6
        glu_call(*rows, "relu", gated, weights=name)(x, found)
        assert error(found, activate(wide @ w.T, "relu") * (wide @ v.T)) < 2e-6


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_a_mask_of_ones_leaves_nothing_and_what_is_not_finite_stays_so(name):
    (_, masked), (plain, gated) = shapes_of(name, 1)
    made = FORMATS[name].quantise(torch.randn(9, 600))
    rows, x = FORMATS[name].cpu_rows(made), torch.randn(1, 600)
    ones = torch.from_numpy(pack(np.ones((1, 9, 600), bool), "row-lanes32").data)
    y = torch.full((1, 9), float("nan"))
    mglu_call(rows, ones, 1, "silu", masked, weights=name)(x, y)
    assert bool((y == 0).all())
    x[0, 5] = float("inf")
    mglu_call(rows, ones, 1, "silu", masked, weights=name)(x, y)
    assert bool(y.isnan().all())
    x[0, 5] = 1e6
    found = torch.empty(1, 9)
    half = torch.from_numpy(pack(np.arange(5400).reshape(1, 9, 600) % 2 == 1, "row-lanes32").data)
    mglu_call(rows, half, 1, "silu", masked._replace(digits=0), weights=name)(x, y)
    mglu_call(rows, half, 1, "silu", masked, weights=name)(x, found)
    torch.testing.assert_close(found, y, rtol=0, atol=0, msg="a number that stands out goes by fp32")
    x[0, 5] = float("inf")
    expected, found = torch.empty(1, 9), torch.empty(1, 9)
    glu_call(rows, rows, "relu", plain, weights=name)(x, expected)
    glu_call(rows, rows, "relu", gated, weights=name)(x, found)
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=0, atol=0)
    glu_call(rows, rows, "relu", gated, weights=name)(torch.zeros(1, 600), found)
    assert bool((found == 0).all())


def test_digits_are_taken_where_they_were_faster():
    taken = {
        (name, nm): MGLU.shape(MGLU.job(2048, 8192, nm, 1, name)).digits
        for name in ("int8", "int4", "fp8-e4m3", "float32")
        for nm in (1, 2, 4, 8)
    }
    assert all(digits == 0 for (name, _), digits in taken.items() if name in ("fp8-e4m3", "float32"))
    assert {nm for (name, nm), digits in taken.items() if name == "int8" and digits} == (
        {1, 2, 4} if adds_bytes() else set()
    )
    assert MGLU.shape(MGLU.job(2048, 8192, 1, 2, "int8")).digits == 0, "of one token alone"
    assert GLU.shape(GLU.job(2048, 8192, 0, 1, "int8")).digits == 0
