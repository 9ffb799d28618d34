"""The modules as a user trains them: kinds of masks, dtypes, autocast, compilation, checkpoints, refusals."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import mglubench.nn
from mglubench.errors import UsageError
from mglubench.nn import MGLU, MGLUMLP, GeMGLU, ReMGLU, SwiMGLU, parameter_groups
from tests.conftest import ROOT

SURFACE = ["MGLU", "MGLUMLP", "GeMGLU", "PackedMGLU", "ReMGLU", "SwiMGLU", "export_packed", "parameter_groups"]


def test_the_surface_of_the_room_is_exactly_this_and_importing_it_imports_no_torch():
    assert sorted(mglubench.nn.__all__) == sorted(SURFACE)
    assert all(getattr(mglubench.nn, name).__doc__ for name in SURFACE)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mglubench.nn.nothing
    code = "import mglubench.nn, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "False\n"


def twins(nm: int = 4, **given) -> tuple[SwiMGLU, SwiMGLU]:
    """The same layer in both forms."""
    torch.manual_seed(0)
    lean = SwiMGLU(16, 24, nm, form="lean", **given)
    plain = SwiMGLU(16, 24, nm, form="plain", **given)
    plain.load_state_dict(lean.state_dict())
    return lean, plain


def trained(layer: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    layer.zero_grad()
    layer(x).float().square().sum().backward()
    return {name: p.grad.clone() for name, p in layer.named_parameters()}


@pytest.mark.parametrize(("kind", "name"), [(SwiMGLU, "silu"), (GeMGLU, "gelu"), (ReMGLU, "relu")])
def test_each_name_has_its_activation_and_keeps_the_shape_of_x(kind, name):
    layer = kind(8, 6, 2).double()
    g, x = getattr(torch.nn.functional, name), torch.randn(2, 3, 8, dtype=torch.double)
    expected = sum(g(x @ (m * layer.weight).T) * (x @ (~m * layer.weight).T) for m in layer.hard_masks())
    assert layer.activation == name
    torch.testing.assert_close(layer(x), expected)
    assert layer(x[0, 0]).shape == (6,)
    assert layer(x[:0]).shape == (0, 3, 6)
    assert MGLU(8, 6, 2, activation=name).activation == name


def test_logits_start_as_in_the_paper_and_are_learned():
    torch.manual_seed(0)
    layer = SwiMGLU(64, 64, 4)
    assert layer.masks.shape == (4, 64, 64)
    assert 0.0097 < layer.masks.std() < 0.0103
    assert dict(layer.named_parameters()).keys() == {"weight", "masks"}
    assert torch.equal(layer.hard_masks(), layer.masks > 0)
    before = layer.hard_masks()
    torch.optim.SGD(layer.parameters(), 10.0).step(lambda: trained(layer, torch.randn(9, 64)) and None)
    assert not torch.equal(before, layer.hard_masks())


def test_fixed_and_given_masks():
    fixed = SwiMGLU(8, 6, 2, masks="fixed")
    assert dict(fixed.named_parameters()).keys() == {"weight"}
    assert fixed.masks.dtype == torch.bool
    assert fixed.state_dict().keys() == {"weight", "masks"}
    assert fixed.half().masks.dtype == torch.bool
    given = torch.rand(2, 6, 8) < 0.3
    stays, learns = SwiMGLU(8, 6, 2, masks=given), SwiMGLU(8, 6, 2, masks=given.float() - 0.5)
    assert torch.equal(stays.hard_masks(), given)
    assert torch.equal(learns.hard_masks(), given)
    assert isinstance(learns.masks, torch.nn.Parameter)
    assert not isinstance(stays.masks, torch.nn.Parameter)
    given.fill_(True)
    assert not stays.hard_masks().all()


@pytest.mark.parametrize("masked", ["both", "gate", "value", "none"])
@pytest.mark.parametrize("masks", ["learned", "fixed"])
def test_both_forms_agree_whatever_is_masked(masked, masks):
    lean, plain = (layer.double() for layer in twins(1 if masked == "none" else 3, masked=masked, masks=masks))
    x = torch.randn(5, 16, dtype=torch.double)
    torch.testing.assert_close(lean(x), plain(x), rtol=1e-12, atol=1e-12)
    ours, printed = trained(lean, x), trained(plain, x)
    assert ours.keys() == printed.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, printed[name], rtol=1e-11, atol=1e-12)


def test_masks_differ_by_what_they_apply_to():
    torch.manual_seed(0)
    x, masks = torch.randn(3, 16), torch.rand(1, 24, 16) < 0.5
    weight = SwiMGLU(16, 24, 1).state_dict()["weight"]
    found = []
    for masked in ("both", "gate", "value", "none"):
        layer = SwiMGLU(16, 24, 1, masks=masks, masked=masked)
        layer.load_state_dict({"weight": weight, **({} if masked == "none" else {"masks": masks})})
        found.append(layer(x))
    t, s = x @ weight.T, x @ (masks[0] * weight).T
    g = torch.nn.functional.silu
    for y, expected in zip(found, (g(s) * (t - s), g(s) * t, g(t) * (t - s), g(t) * t), strict=True):
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("nm", [1, 4])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_layers_train(nm, dtype):
    lean, plain = (layer.to(dtype) for layer in twins(nm))
    x = torch.randn(5, 16, dtype=dtype)
    assert lean(x).dtype == dtype
    for name, gradient in trained(lean, x).items():
        torch.testing.assert_close(gradient, trained(plain, x)[name], rtol=0.1, atol=0.02)


@pytest.mark.parametrize("nm", [1, 4])
@pytest.mark.parametrize("masks", ["learned", "fixed"])
def test_autocast_runs_in_its_dtype_both_ways_and_keeps_parameters_in_theirs(nm, masks):
    lean, plain = twins(nm, masks=masks)
    x = torch.randn(5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = lean(x)
        ours, printed = trained(lean, x), trained(plain, x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), lean(x), rtol=0.05, atol=0.05)
    for name, gradient in ours.items():
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, printed[name], rtol=0.1, atol=0.05)


@pytest.mark.parametrize("nm", [1, 3])
@pytest.mark.parametrize("masked", ["both", "gate"])
def test_compiles_without_a_break_and_with_the_same_gradients(nm, masked):
    torch._dynamo.reset()
    layer, _ = twins(nm, masked=masked)
    x = torch.randn(5, 16)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    eager = trained(layer, x)
    for name, gradient in trained(compiled, x).items():
        torch.testing.assert_close(gradient, eager[name.removeprefix("_orig_mod.")])


def test_compiles_under_autocast():
    torch._dynamo.reset()
    layer, _ = twins(2)
    x = torch.randn(5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
        torch.testing.assert_close(compiled, layer(x))
    assert compiled.dtype == torch.bfloat16


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_layer_has_the_same_gradients(reentrant):
    layer, _ = twins(3)
    x = torch.randn(5, 16, requires_grad=True)
    eager = trained(layer, x)
    layer.zero_grad()
    checkpoint(layer, x, use_reentrant=reentrant).float().square().sum().backward()
    for name, p in layer.named_parameters():
        torch.testing.assert_close(p.grad, eager[name])


def test_a_layer_is_copied_saved_and_loaded(tmp_path):
    mlp = MGLUMLP(16, 24, 2, activation="gelu")
    x = torch.randn(3, 16)
    assert torch.equal(copy.deepcopy(mlp)(x), mlp(x))
    torch.save(mlp.state_dict(), tmp_path / "layer.pt")
    again = MGLUMLP(16, 24, 2, activation="gelu")
    again.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    assert torch.equal(again(x), mlp(x))
    assert mlp(x).shape == (3, 16)
    assert mlp.mglu.activation == "gelu"


def test_parameter_groups_hold_every_parameter_once_and_masks_apart():
    model = torch.nn.Sequential(torch.nn.LayerNorm(16), MGLUMLP(16, 24, 2), MGLUMLP(16, 24, 2, masks="fixed"))
    model[2].down_proj.weight.requires_grad_(False)
    groups = {group["name"]: group for group in parameter_groups(model, 1e-3, mask_lr_factor=0.1, weight_decay=0.2)}
    assert [id(p) for p in groups["masks"]["params"]] == [id(model[1].mglu.masks)]
    assert (groups["masks"]["lr"], groups["masks"]["weight_decay"]) == (1e-4, 0.0)
    assert (groups["matrices"]["lr"], groups["matrices"]["weight_decay"]) == (1e-3, 0.2)
    assert groups["vectors"]["weight_decay"] == 0.0
    held = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    torch.optim.AdamW(groups.values())
    assert {group["name"] for group in parameter_groups(torch.nn.Linear(2, 2, bias=False), 0.1)} == {"matrices"}


def autocast(layer, x):
    with torch.autocast("cpu", torch.bfloat16):
        return layer(x)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SwiMGLU(0, 4), "h must be a whole number from 1 on, got 0"),
        (lambda: SwiMGLU(4, 4.0), "d must be a whole number from 1 on, got 4.0"),
        (lambda: SwiMGLU(4, 4, 17), "nm must be 1 to 16, got 17"),
        (lambda: SwiMGLU(4, 4, 0), "nm must be a whole number from 1 on, got 0"),
        (lambda: SwiMGLU(4, 4, activation="tanh"), "unknown activation 'tanh'"),
        (lambda: SwiMGLU(4, 4, activation=torch.nn.SiLU()), r"unknown activation SiLU\(\); known: silu, gelu, relu"),
        (lambda: SwiMGLU(4, 4, activation=""), "unknown activation ''; known"),
        (lambda: SwiMGLU(4, 4, masks=None), "unknown masks None; known: learned, fixed"),
        (lambda: SwiMGLU(4, 4, 1, masks=torch.full((1, 4, 4), torch.nan)), "masks hold NaN"),
        (lambda: SwiMGLU(4, 4, router="x"), "unknown router 'x'"),
        (lambda: SwiMGLU(4, 4, dtype="float32"), "got 'float32'; known: torch.float32, torch.bfloat16"),
        (lambda: SwiMGLU(4, 4, dtype=torch.float8_e4m3fn), "got torch.float8_e4m3fn; known"),
        (lambda: SwiMGLU(4, 4, device="gpu"), "no layer can be made on device 'gpu' .*; use cpu or a GPU here"),
        (lambda: SwiMGLU(4, 4, masks="lerned"), "unknown masks 'lerned'; did you mean learned?"),
        (lambda: SwiMGLU(4, 4, masked="gates"), "unknown masked 'gates'; did you mean gate?"),
        (lambda: SwiMGLU(4, 4, form="fat"), "unknown form 'fat'"),
        (lambda: SwiMGLU(4, 4, 2, masked="none"), "a layer with masked='none' has no masks, so nm must be 1, got 2"),
        (lambda: SwiMGLU(4, 4, 1, masked="none").hard_masks(), "has no masks"),
        (lambda: SwiMGLU(4, 4, dtype=torch.int8), "floating-point one such as float32 or bfloat16, got torch.int8"),
        (lambda: SwiMGLU(4, 5, 1, masks=torch.ones(1, 4, 5)), r"masks must be \[nm, d, h\] = \[1, 5, 4\], got"),
        (lambda: SwiMGLU(4, 4, 1, masks=torch.ones(1, 4, 4).int()), "masks must be boolean, or floating-point"),
        (lambda: SwiMGLU(4, 4)(None), r"x must be a dense tensor \[..., 4\], got NoneType"),
        (lambda: SwiMGLU(4, 4)(torch.eye(4).to_sparse()), r"x must be a dense tensor \[..., 4\], got torch.sparse_coo"),
        (
            lambda: autocast(SwiMGLU(4, 4), torch.zeros(2, 4).int()),
            "x is torch.int32, the layer torch.float32; convert",
        ),
        (lambda: autocast(SwiMGLU(4, 4), torch.zeros(2, 4).cfloat()), "x is torch.complex64, the layer torch.float32"),
        (lambda: SwiMGLU(4, 4)(torch.zeros(2, 5)), r"x must be \[..., 4\], got \[2, 5\]"),
        (lambda: SwiMGLU(4, 4)(torch.zeros(2, 4).half()), "x is torch.float16, the layer torch.float32; convert"),
        (lambda: SwiMGLU(4, 4, device="meta")(torch.zeros(2, 4)), "x is on cpu, the layer on meta"),
        (lambda: parameter_groups(SwiMGLU(4, 4), "1e-3"), "lr must be a finite number from 0 on, got '1e-3'"),
        (lambda: parameter_groups(SwiMGLU(4, 4), -1.0), "lr must be a finite number from 0 on, got -1.0"),
        (lambda: parameter_groups(torch.nn.Identity(), 0.1), "Identity has no parameter that requires a gradient"),
    ],
)
def test_what_does_not_fit_is_one_line(make, said):
    with pytest.raises(UsageError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)
