"""From trained layers to packed ones: the same function, a state that any device can read, refusals in one line."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch

from mglubench.errors import UsageError
from mglubench.nn import MGLUMLP, GeMGLU, PackedMGLU, ReMGLU, SwiMGLU, export_packed
from mglubench.nn.mask_planes import from_planes, masked_weight, to_planes

LIMITS = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 3e-3}
FEW, MANY = 3, 600


def exported(h: int = 40, d: int = 12, nm: int = 3, **given) -> tuple[SwiMGLU, PackedMGLU]:
    torch.manual_seed(nm)
    layer = SwiMGLU(h, d, nm, **given)
    return layer, export_packed(layer)


def test_planes_hold_column_8b_plus_j_in_bit_j_of_byte_b():
    masks = torch.zeros(2, 3, 11, dtype=torch.bool)
    masks[1, 2, 9] = masks[0, 1, 3] = True
    planes = to_planes(masks)
    assert (planes.shape, planes.dtype) == ((2, 3, 2), torch.uint8)
    assert planes.nonzero().tolist() == [[0, 1, 0], [1, 2, 1]]
    assert (int(planes[0, 1, 0]), int(planes[1, 2, 1])) == (1 << 3, 1 << 1)
    assert torch.equal(from_planes(planes, 11), masks)


@pytest.mark.parametrize("h", [1, 8, 9, 37])
@pytest.mark.parametrize("dtype", [*LIMITS, torch.float64])
def test_a_masked_weight_is_the_weight_where_the_mask_is_set(h, dtype):
    weight, masks = torch.randn(5, h).to(dtype), torch.rand(1, 5, h) < 0.5
    found = masked_weight(weight, to_planes(masks)[0])
    assert found.dtype == dtype
    assert torch.equal(found, torch.where(masks[0], weight, torch.zeros((), dtype=dtype)))


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize(("kind", "h", "nm"), [(SwiMGLU, 37, 1), (GeMGLU, 64, 4), (ReMGLU, 16, 16)])
def test_a_packed_layer_computes_what_was_trained_by_either_path(kind, h, nm, tokens, dtype):
    torch.manual_seed(nm)
    layer = kind(h, 12, nm).to(dtype)
    packed, x = export_packed(layer), torch.randn(tokens, h).to(dtype)
    expected = layer.double()(x.double())
    error = (packed(x).double() - expected).norm() / expected.norm()
    assert packed(x).dtype == dtype
    assert error < LIMITS[dtype]


@pytest.mark.parametrize("order", ["topk-then-softmax", "softmax-then-topk"])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("tokens", [1, FEW, MANY])
def test_a_routed_layer_is_served_with_its_gate_weights(order, k, tokens):
    layer, packed = exported(nm=4, top_k=k, router=order, untrained_router=True)
    x = torch.randn(tokens, 40)
    torch.testing.assert_close(packed(x), layer(x), rtol=1e-4, atol=1e-5)
    assert packed.state_dict().keys() == {"weight", "mask_planes", "router_weight"}


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("h", "nm", "k", "tokens"), [(1, 2, 1, 1), (37, 4, 1, 5), (64, 8, 2, 20), (16, 16, 3, 2)])
def test_the_routed_kernel_agrees_with_float64_and_needs_no_mask_that_nobody_keeps(h, nm, k, tokens, dtype):
    torch.manual_seed(k)
    layer = SwiMGLU(h, 12, nm, top_k=k, router="softmax-then-topk").to(dtype)
    packed, x = export_packed(layer), torch.randn(tokens, h).to(dtype)
    weights, g, w = layer.gate_weights(x).double(), torch.nn.functional.silu, layer.weight.double()
    parts = [g(x.double() @ (m * w).T) * (x.double() @ (~m * w).T) for m in layer.hard_masks()]
    expected = sum(weights[:, i, None] * part for i, part in enumerate(parts))
    y = packed(x)
    assert (y.double() - expected).norm() <= LIMITS[dtype] * expected.norm()
    unused = (weights == 0).all(0).nonzero().flatten()
    packed._kernel.masks[unused] = 255
    assert torch.equal(packed(x), y)


def test_the_state_is_one_weight_and_nm_bits_an_element_all_buffers():
    layer, packed = exported(h=37)
    state = packed.state_dict()
    assert state.keys() == {"weight", "mask_planes"}
    assert state["mask_planes"].shape == (3, 12, 5)
    assert list(packed.parameters()) == []
    assert packed.weight.data_ptr() == layer.weight.data_ptr()
    assert torch.equal(packed.hard_masks(), layer.hard_masks())
    assert not packed.training


def test_the_kernel_reads_the_weight_itself_where_nothing_is_padded():
    _, packed = exported(h=64)
    packed(torch.randn(1, 64))
    assert packed._kernel.weight.data_ptr() == packed.weight.data_ptr()


def test_safetensors_keep_every_bit(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is part of the hf extra")
    for dtype in LIMITS:
        layer = SwiMGLU(37, 12, 3, top_k=2).to(dtype)
        packed = export_packed(layer)
        safetensors.save_file(packed.state_dict(), tmp_path / "layer.safetensors")
        again = PackedMGLU(37, 12, 3, top_k=2, dtype=dtype)
        again.load_state_dict(safetensors.load_file(tmp_path / "layer.safetensors"))
        for name, value in packed.state_dict().items():
            assert torch.equal(again.state_dict()[name], value)
        x = torch.randn(2, 37).to(dtype)
        assert torch.equal(again(x), packed(x))


def test_a_conversion_a_copy_and_a_load_after_a_call_are_seen():
    _, packed = exported(h=37)
    x = torch.randn(2, 37)
    before = packed(x)
    copied = copy.deepcopy(packed)
    half = copy.deepcopy(packed).half()
    assert half.mask_planes.dtype == torch.uint8
    torch.testing.assert_close(half(x.half()).float(), before, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(half.float()(x), before, rtol=2e-2, atol=2e-2)
    other = SwiMGLU(37, 12, 3)
    packed.load_state_dict(export_packed(other).state_dict())
    torch.testing.assert_close(packed(x), other(x).detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(copied(x), before)
    stored = io.BytesIO()
    torch.save(packed.state_dict(), stored)
    stored.seek(0)
    assert torch.load(stored, weights_only=True).keys() == {"weight", "mask_planes"}


@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("top_k", [None, 2])
def test_compiles_after_prepare_without_a_break(tokens, top_k):
    torch._dynamo.reset()
    _, packed = exported(nm=3, top_k=top_k)
    x = torch.randn(tokens, 40)
    compiled = torch.compile(packed.prepare(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), packed(x))


@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("top_k", [None, 2])
def test_a_gradient_is_refused_whatever_the_number_of_tokens(tokens, top_k):
    _, packed = exported(top_k=top_k)
    x = torch.randn(tokens, 40, requires_grad=True)
    with pytest.raises(UsageError, match="has no backward and x requires a gradient; call it under"):
        packed(x)
    with torch.no_grad():
        assert packed(x).shape == (tokens, 12)


def test_a_model_is_exported_beside_the_trained_one():
    torch.manual_seed(0)
    shared = MGLUMLP(16, 24, 2)
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), shared, torch.nn.Sequential(torch.nn.LayerNorm(16), shared))
    packed, x = export_packed(model), torch.randn(3, 16)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), model(x), rtol=1e-4, atol=1e-5)
    assert isinstance(model[1].mglu, SwiMGLU | type(shared.mglu))
    assert isinstance(packed[1].mglu, PackedMGLU)
    assert packed[1] is packed[2][1]
    assert packed[0] is model[0]
    assert packed[1].down_proj is shared.down_proj
    assert packed[2].training == model[2].training


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: export_packed(torch.nn.Linear(2, 2)), "Linear holds no MGLU layer, so there is nothing to export"),
        (lambda: export_packed(MGLUMLP(4, 4, 2, masked="gate")), "mglu cannot be exported: masked='gate'"),
        (lambda: export_packed(SwiMGLU(4, 4, 1, masked="none")), "MGLU cannot be exported: masked='none'"),
        (lambda: PackedMGLU(4, 4, 17), "nm must be 1 to 16, got 17"),
        (lambda: PackedMGLU(4, 4, 2, top_k=3), "top_k must be 1 to nm = 2, got 3"),
        (lambda: PackedMGLU(4, 4, activation="tanh"), "unknown activation"),
        (lambda: PackedMGLU(4, 4, weights=None), "unknown weights None; known: same, int8"),
        (lambda: PackedMGLU(4, 4, dtype=torch.int8), "got torch.int8; known: torch.float32, torch.bfloat16"),
        (lambda: PackedMGLU(4, 4, kernel_tokens=-1), "kernel_tokens must be a finite number from 0 on, got -1"),
        (lambda: PackedMGLU(4, 4, kernel_tokens="many"), "kernel_tokens must be a finite number from 0 on, got 'many'"),
        (lambda: PackedMGLU(4, 4)([1.0]), r"x must be a dense tensor \[..., 4\], got list"),
        (lambda: export_packed(SwiMGLU(4, 4, device="meta")), "cannot be exported: its weights are on the meta device"),
        (lambda: PackedMGLU(4, 4)(torch.zeros(2, 5)), r"x must be \[..., 4\], got \[2, 5\]"),
        (lambda: PackedMGLU(4, 4)(torch.zeros(2, 4).half()), "x is torch.float16, the layer torch.float32"),
        (lambda: PackedMGLU(4, 4)(torch.zeros(MANY, 4).half()), "x is torch.float16, the layer torch.float32"),
        (lambda: PackedMGLU(4, 4).double()(torch.zeros(2, 4).double()), "not float64; convert it"),
        (lambda: PackedMGLU(4, 4).double()(torch.zeros(MANY, 4).double()), "not float64; convert it"),
        (lambda: PackedMGLU(4, 4, device="meta").prepare(), "no kernel for device 'meta'"),
        (lambda: from_planes(torch.zeros(1, 2, 3), 8), r"mask planes must be uint8 \[nm, d, 1\] for h=8"),
        (lambda: to_planes(torch.zeros(1, 2, 3)), "masks must be boolean"),
    ],
)
def test_what_does_not_fit_is_one_line(make, said):
    with pytest.raises(UsageError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_planes_are_the_bytes_of_numpy():
    masks = np.random.default_rng(0).random((2, 3, 21)) < 0.5
    assert np.array_equal(to_planes(torch.from_numpy(masks)).numpy(), np.packbits(masks, axis=-1, bitorder="little"))
