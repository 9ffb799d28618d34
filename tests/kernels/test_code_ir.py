"""Weights of a format in the CPU kernels: every format against float64, by table look-up and by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.kernels import code_ir, cpu_layers
from mglubench.kernels.cpu_call import glu_call, mglu_call
from mglubench.kernels.cpu_choice import GLU, MGLU
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
