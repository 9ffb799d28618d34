"""The arms: what they cost, by name and in the model itself, and that unequal cost is told."""

from __future__ import annotations

import pytest
import torch

from mglubench.errors import UsageError
from mglubench.experiments.arms import ARMS, STAGES, arms_named, staged, why_unmatched
from mglubench.experiments.decoder import Decoder, masked_layers
from mglubench.experiments.setting import Setting

SETTING = Setting(h=16, d=24, layers=2, heads=2, context=8)


@pytest.mark.parametrize("arm", ARMS.values(), ids=str)
def test_a_model_has_the_weights_and_masks_that_its_arm_says(arm):
    model = Decoder(SETTING, arm)
    matrices = [
        p for name, p in model.named_parameters() if ".mlp." in name and "masks" not in name and "router" not in name
    ]
    assert sum(p.numel() for p in matrices) == pytest.approx(SETTING.layers * arm.weights * SETTING.h * SETTING.d)
    layers = masked_layers(model)
    assert len(layers) == (SETTING.layers if arm.nm else 0)
    for layer in layers:
        assert layer.masks is not None
        assert (layer.nm, layer.masks.requires_grad, layer.masked) == (arm.nm, arm.has_logits, arm.masked)
        assert (layer.top_k, layer.router is not None) == (arm.top_k, bool(arm.top_k))


def test_what_arms_share_starts_alike():
    models = []
    for name in ("gelu", "nm4", "nm4-top2-softmax-last"):
        torch.manual_seed(5)
        models.append(dict(Decoder(SETTING, ARMS[name]).named_parameters()))
    shared = [name for name in models[0] if ".mlp." not in name]
    assert len(shared) == 2 + 4 * SETTING.layers
    for name in shared:
        assert torch.equal(models[0][name], models[1][name])
        assert torch.equal(models[0][name], models[2][name])


def test_a_decoder_does_not_look_ahead():
    model = Decoder(SETTING, ARMS["nm2"])
    tokens = torch.randint(0, 256, (1, 8))
    other = tokens.clone()
    other[0, 5:] += 1
    ours, theirs = model(tokens), model(other % 256)
    assert torch.allclose(ours[0, :5], theirs[0, :5], atol=1e-6)
    assert not torch.allclose(ours[0, 5:], theirs[0, 5:], atol=1e-3)


def test_costs_are_the_papers():
    assert {
        name: (ARMS[name].weights, ARMS[name].training_flops) for name in ("gelu", "swiglu", "tied", "nm1", "nm4")
    } == {
        "gelu": (2, 12),
        "swiglu": (3, 18),
        "tied": (2, 12),
        "nm1": (2, 20),
        "nm4": (2, 44),
    }


def test_unequal_cost_is_told():
    assert why_unmatched(ARMS["tied"], ARMS["gelu"]) is None
    told = why_unmatched(ARMS["swiglu"], ARMS["gelu"])
    assert told == "swiglu has 1.50 times the weights and 1.50 times the training FLOPs of gelu"
    assert why_unmatched(ARMS["nm4"], ARMS["gelu"]) == "nm4 has 3.67 times the training FLOPs of gelu"
    assert why_unmatched(ARMS["swiglu-narrow"], ARMS["gelu"]) is None


def test_every_arm_has_a_stage_and_one_only():
    names = [name for stage in STAGES for name in stage]
    assert sorted(names) == sorted(ARMS)
    given = arms_named(["nm8-fixed", "gelu", "nm1", "gelu"])
    assert [arm.name for arm in given] == ["gelu", "nm1", "nm8-fixed"]
    assert [[arm.name for arm in stage] for stage in staged(given)] == [["gelu", "nm1"], ["nm8-fixed"]]
    with pytest.raises(UsageError, match="unknown arm 'nm3'; did you mean"):
        arms_named(["nm3"])
