"""Tiny random models of transformers, by architecture."""

from __future__ import annotations

import torch

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MORE = {"qwen3": {"head_dim": 8}, "gemma": {"head_dim": 8}}


def tiny(kind: str = "llama", seed: int = 0, **given):
    """A model to generate with, in evaluation mode."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**SIZES, **MORE.get(kind, {}), **given})
    return AutoModelForCausalLM.from_config(config).eval()


def tokens(count: int = 7) -> torch.Tensor:
    """Token ids, [2, count]."""
    return torch.randint(3, 50, (2, count), generator=torch.Generator().manual_seed(1))
