"""Exchanging MLPs of transformers models: what is exchanged, what is refused and why, and that undo undoes."""

from __future__ import annotations

import pytest
import torch

from mglubench.errors import UsageError
from mglubench.nn import MGLU, PackedMGLU
from mglubench.nn.hf_starts import SwapConfig
from mglubench.nn.hf_swap import FILTERED, swap_mlps
from tests.nn.hf_tiny import tiny, tokens

pytest.importorskip("transformers", reason="transformers is part of the hf extra")


def logits(model):
    with torch.no_grad():
        return model(tokens()).logits


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3", "granite"])
@pytest.mark.parametrize("mode", ["fresh", "stand-in", "larger", "sum"])
def test_each_mlp_is_exchanged_and_put_back_bit_by_bit(kind, mode):
    model = tiny(kind)
    before, state = logits(model), {name: value.clone() for name, value in model.state_dict().items()}
    report = swap_mlps(model, SwapConfig(nm=2, mode=mode))
    assert [swapped.name for swapped in report.swapped] == ["model.layers.0.mlp", "model.layers.1.mlp"]
    assert report.kept == []
    assert "2 swapped, 0 kept" in str(report)
    layers = [m for m in model.modules() if isinstance(m, PackedMGLU if mode == "stand-in" else MGLU)]
    assert len(layers) == 2
    assert not torch.equal(logits(model), before)
    report.undo()
    report.undo()
    assert torch.equal(logits(model), before)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_filter_leaves_layers_as_they_are_and_the_report_says_so():
    model = tiny()
    report = swap_mlps(model, SwapConfig(nm=1), lambda name, _: "layers.1" in name)
    assert [swapped.name for swapped in report.swapped] == ["model.layers.1.mlp"]
    assert [(kept.name, kept.reason) for kept in report.kept] == [("model.layers.0.mlp", FILTERED)]


def test_the_larger_start_is_what_it_says_and_masks_can_be_told_apart():
    model = tiny()
    mlp = model.model.layers[0].mlp
    gate, up, down = (getattr(mlp, name).weight.detach() for name in ("gate_proj", "up_proj", "down_proj"))
    swap_mlps(model, SwapConfig(nm=3, mode="larger"))
    new = model.model.layers[0].mlp
    for_gate = gate.abs() >= up.abs()
    assert torch.equal(new.mglu.weight, torch.where(for_gate, gate, up))
    assert all(torch.equal(mask, for_gate) for mask in new.mglu.hard_masks())
    assert not torch.equal(new.mglu.masks[0], new.mglu.masks[1])
    x = torch.randn(4, 32)
    kept = torch.where(for_gate, gate, up)
    expected = (torch.nn.functional.silu(x @ (kept * for_gate).T) * (x @ (kept * ~for_gate).T)) @ down.T
    torch.testing.assert_close(new(x), expected)
    assert torch.equal(mlp.down_proj.weight, down)


def test_a_stand_in_neither_saves_nor_generates_without_being_asked(tmp_path):
    model = tiny()
    report = swap_mlps(model, SwapConfig(nm=2, mode="stand-in"))
    for refused in (lambda: model.generate(tokens()), lambda: model.save_pretrained(tmp_path), model.state_dict):
        with pytest.raises(UsageError, match="holds stand-ins, whose outputs mean nothing"):
            refused()
    assert not list(tmp_path.iterdir())
    assert logits(model).shape == (2, 7, 50)
    report.undo()
    assert model.generate(tokens(), max_new_tokens=2, do_sample=False).shape[0] == 2
    swap_mlps(model, SwapConfig(nm=2, mode="stand-in", allow_meaningless=True))
    assert model.generate(tokens(), max_new_tokens=2, do_sample=False).shape[0] == 2


def damaged(harm):
    """A tiny Llama of which harm(first MLP, model) was done."""
    model = tiny()
    harm(model.model.layers[0].mlp, model)
    return model


def patch(mlp, _):
    mlp.forward = lambda x: x


def compiled_alone(mlp, model):
    model.model.layers[0].mlp = torch.compile(mlp, backend="eager")


def another_forward(mlp, _):
    mlp.act_fn.__class__ = type(
        "SiLUActivation", (torch.nn.Module,), {"forward": lambda self, x: x.relu() * next(again)}
    )
    again = iter(range(1, 99))


class Mine(torch.nn.Linear):
    pass


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda mlp, _: setattr(mlp, "gate_proj", Mine(32, 48, bias=False)), "gate_proj is Mine, not torch.nn.Linear"),
        (lambda mlp, _: setattr(mlp, "up_proj", torch.nn.Linear(32, 48)), "up_proj has a bias"),
        (lambda mlp, _: torch.nn.utils.parametrizations.weight_norm(mlp.gate_proj), "gate_proj is ParametrizedLinear"),
        (lambda mlp, _: setattr(mlp, "act_fn", torch.nn.Tanh()), "its activation Tanh is not among silu, gelu, relu"),
        (lambda mlp, _: mlp.register_forward_hook(print), "it has hooks"),
        (lambda mlp, _: mlp.down_proj.register_forward_pre_hook(print), "down_proj has hooks"),
        (lambda mlp, _: mlp.act_fn.register_forward_hook(print), "act_fn has hooks"),
        (lambda mlp, _: mlp.register_state_dict_post_hook(lambda *_: None), "it has hooks"),
        (lambda mlp, _: mlp.up_proj.weight.register_hook(print), "the weight of up_proj has hooks"),
        (lambda mlp, _: mlp.compile(backend="eager"), "it is compiled; swap first and compile then"),
        (compiled_alone, "torch.compile holds it and would go on calling it"),
        (patch, "the forward of it is patched on the instance"),
        (another_forward, "its output is not down_proj"),
        (lambda mlp, _: mlp.up_proj.__setattr__("weight", mlp.gate_proj.weight), "are one parameter"),
        (lambda mlp, _: mlp.up_proj.half(), "of several devices or dtypes"),
        (lambda _, model: setattr(model.config, "quantization_config", {"bits": 8}), "it is quantised"),
        (lambda _, model: setattr(model, "_tp_size", 2), "it is tensor-parallel"),
        (lambda _, model: model.to("meta"), "on the meta device"),
    ],
)
def test_what_cannot_be_exchanged_is_refused_as_a_whole(harm, said):
    model = damaged(harm)
    before = [id(layer.mlp) for layer in model.model.layers]
    with pytest.raises(UsageError, match=said) as caught:
        swap_mlps(model, SwapConfig(nm=2))
    assert "\n" not in str(caught.value)
    assert [id(layer.mlp) for layer in model.model.layers] == before


def test_without_strict_the_others_are_exchanged():
    model = damaged(patch)
    report = swap_mlps(model, SwapConfig(nm=2), strict=False)
    assert [swapped.name for swapped in report.swapped] == ["model.layers.1.mlp"]
    assert [kept.name for kept in report.kept] == ["model.layers.0.mlp"]


def test_a_model_without_known_gated_mlps_is_told_and_not_touched():
    from transformers import GPT2Config, GPT2LMHeadModel, Phi3Config, Phi3ForCausalLM

    gpt = GPT2LMHeadModel(GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=20))
    with pytest.raises(UsageError, match=r"cannot be swapped, transformer.h.0.mlp: its type .*GPT2MLP is not"):
        swap_mlps(gpt, SwapConfig())
    with pytest.raises(UsageError, match="nothing was swapped in GPT2LMHeadModel: "):
        swap_mlps(gpt, SwapConfig(), strict=False)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    phi = Phi3ForCausalLM(Phi3Config(**small, vocab_size=20, pad_token_id=0, num_key_value_heads=2))
    with pytest.raises(UsageError, match="its gate and up projections are one matrix, gate_up_proj"):
        swap_mlps(phi, SwapConfig())
    with pytest.raises(UsageError, match=r"its activation GELUTanh.* is not among silu, gelu, relu \(exact\)"):
        swap_mlps(tiny("gemma"), SwapConfig())
    with pytest.raises(UsageError, match="nothing was swapped in Linear: it holds no gated MLP; known are"):
        swap_mlps(torch.nn.Linear(2, 2), SwapConfig())
    with pytest.raises(UsageError, match=r"nothing was swapped in LlamaForCausalLM: .*left out by filter_fn"):
        swap_mlps(tiny(), SwapConfig(), lambda *_: False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "stand_in"}, "unknown mode 'stand_in'; did you mean stand-in?"),
        ({"mode": None}, "unknown mode None; known: fresh, stand-in, larger, sum"),
        ({"nm": 17}, "nm must be 1 to 16, got 17"),
        ({"std": -1.0}, "std must be a finite number from 0 on, got -1.0"),
        ({"router": "x"}, "unknown router 'x'"),
        ({"top_k": 5}, "top_k must be 1 to nm = 4, got 5"),
        ({"top_k": 2, "mode": "sum"}, "a router has nothing to start from in 'sum'"),
    ],
)
def test_a_configuration_that_cannot_be_is_one_line(given, said):
    with pytest.raises(UsageError, match=said):
        SwapConfig(**given)
