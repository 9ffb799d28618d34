"""Model types of their own: checkpoints load through the Auto classes in both forms, or are refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from mglubench.errors import UsageError
from mglubench.nn import MGLU, PackedMGLU
from mglubench.nn.hf_starts import SwapConfig
from tests.conftest import ROOT
from tests.nn.hf_tiny import tiny, tokens

transformers = pytest.importorskip("transformers", reason="transformers is part of the hf extra")
safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is part of the hf extra")

from mglubench.nn.hf_models import CLASSES, masked_model, packed_model  # noqa: E402

KINDS = ["llama", "mistral", "qwen3", "granite"]
Auto = transformers.AutoModelForCausalLM


def logits(model, ids=None):
    with torch.no_grad():
        return model(tokens() if ids is None else ids).logits


def test_these_architectures_have_a_type_of_their_own():
    assert list(CLASSES) == KINDS
    assert [c.config_class.model_type for c in CLASSES.values()] == [f"mglu_{kind}" for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top_k", [None, 2])
def test_a_checkpoint_loads_in_training_and_packed_form_bit_by_bit(kind, top_k, tmp_path):
    dense = tiny(kind)
    before = logits(dense)
    masked = masked_model(dense, SwapConfig(nm=3, top_k=top_k))
    assert torch.equal(logits(dense), before)
    packed = packed_model(masked)
    torch.testing.assert_close(logits(packed), logits(masked), rtol=1e-4, atol=1e-5)
    for model, form in ((masked, MGLU), (packed, PackedMGLU)):
        model.save_pretrained(tmp_path / form.__name__)
        again = Auto.from_pretrained(tmp_path / form.__name__)
        assert type(again) is CLASSES[kind]
        assert sum(isinstance(module, form) for module in again.modules()) == 2
        assert torch.equal(logits(again), logits(model))
        state = model.state_dict()
        assert again.state_dict().keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())


def test_sixteen_bit_loads_keep_every_mask(tmp_path):
    masked = masked_model(tiny(), SwapConfig(nm=2))
    mglu = masked.model.layers[0].mlp.mglu
    with torch.no_grad():
        mglu.masks[0, 0, 0] = 1e-30
    masked.save_pretrained(tmp_path / "training")
    packed_model(masked).save_pretrained(tmp_path / "packed")
    for form in ("training", "packed"):
        for dtype in (torch.bfloat16, torch.float16):
            again = Auto.from_pretrained(tmp_path / form, dtype=dtype)
            found = again.model.layers[0].mlp.mglu
            assert found.weight.dtype == dtype
            assert torch.equal(found.hard_masks(), mglu.hard_masks())
            assert logits(again).isfinite().all()


@pytest.mark.parametrize("form", ["training", "packed"])
@pytest.mark.parametrize("lost", ["mglu.weight", "mask", "down_proj.weight"])
def test_a_checkpoint_without_a_key_is_refused_and_not_filled_in(form, lost, tmp_path):
    model = masked_model(tiny(), SwapConfig(nm=2))
    (model if form == "training" else packed_model(model)).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = safetensors.load_file(path)
    key = next(name for name in sorted(state) if lost in name)
    safetensors.save_file({name: value for name, value in state.items() if name != key}, path, {"format": "pt"})
    with pytest.raises(UsageError, match=f"does not fit MgluLlamaForCausalLM: 1 missing keys, first {key}; nothing is"):
        Auto.from_pretrained(tmp_path)


def test_a_dense_checkpoint_is_not_read_as_a_masked_one(tmp_path):
    masked_model(tiny(), SwapConfig(nm=2)).save_pretrained(tmp_path)
    safetensors.save_file(tiny().state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match="missing keys"):
        Auto.from_pretrained(tmp_path)


def test_without_the_import_the_type_is_unknown(tmp_path):
    masked_model(tiny(), SwapConfig(nm=2)).save_pretrained(tmp_path)
    code = f"from transformers import AutoModelForCausalLM as A; A.from_pretrained({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "mglu_llama" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_the_same_with_and_without_a_cache_and_in_both_forms(kind):
    masked = masked_model(tiny(kind), SwapConfig(nm=2))
    texts = [
        model.generate(tokens(), max_new_tokens=8, do_sample=False, use_cache=cache)
        for model in (masked, packed_model(masked))
        for cache in (True, False)
    ]
    assert all(torch.equal(text, texts[0]) for text in texts)


def test_a_fresh_model_is_drawn_as_the_architecture_says_and_trains():
    config = CLASSES["llama"].config_class(**tiny().config.to_dict() | {"initializer_range": 0.3}, mglu=None)
    config.mglu = {"form": "training", "nm": 2}
    model = CLASSES["llama"](config)
    assert 0.2 < model.model.layers[0].mlp.mglu.weight.std() < 0.4
    model(tokens(), labels=tokens()).loss.backward()
    assert model.model.layers[0].mlp.mglu.masks.grad.norm() > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: masked_model(tiny("gemma"), SwapConfig()),
            "no mglu type for model type 'gemma'; there is one for llama",
        ),
        (lambda: masked_model(tiny(), SwapConfig(mode="stand-in")), "a stand-in is for timing, not to be trained"),
        (lambda: masked_model(tiny(), SwapConfig(), lambda *_: True), "masks every MLP; use swap_mlps"),
        (lambda: packed_model(tiny()), "LlamaForCausalLM is no mglu model in training form"),
        (lambda: packed_model(packed_model(masked_model(tiny(), SwapConfig(nm=1)))), "so there is nothing to pack"),
        (lambda: CLASSES["llama"](CLASSES["llama"].config_class(hidden_size=8)), "config.mglu must say form"),
    ],
)
def test_what_cannot_be_made_is_one_line(make, said):
    with pytest.raises(UsageError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_trainer_example_runs(tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is part of the hf extra")
    command = [sys.executable, str(ROOT / "docs" / "train_masked_llama.py"), "--steps", "3", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "packed" / "config.json").read_text())["mglu"]["form"] == "packed"
    assert "loss" in done.stdout
