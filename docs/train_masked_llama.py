"""Train a tiny Llama with masked MLPs by transformers' Trainer on its own README, and save it in both forms.

python docs/train_masked_llama.py --steps 100 --out /tmp/masked-llama
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from mglubench.nn import parameter_groups
from mglubench.nn.hf_models import masked_model, packed_model
from mglubench.nn.hf_starts import SwapConfig

CONTEXT = 64


def main() -> None:
    """Bytes are the tokens."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()

    text = torch.tensor(list((Path(__file__).parent.parent / "README.md").read_bytes()))
    pieces = text[: len(text) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    data = [{"input_ids": piece, "labels": piece} for piece in pieces]

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    dense = LlamaForCausalLM(LlamaConfig(vocab_size=256, max_position_embeddings=CONTEXT, **sizes))
    model = masked_model(dense, SwapConfig(nm=4, mode="fresh"))
    optimiser = torch.optim.AdamW(parameter_groups(model, lr=3e-3, mask_lr_factor=0.3), betas=(0.9, 0.99))
    settings = TrainingArguments(
        output_dir=str(given.out / "steps"),
        max_steps=given.steps,
        per_device_train_batch_size=8,
        logging_steps=max(1, given.steps // 5),
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(model=model, args=settings, train_dataset=data, optimizers=(optimiser, None)).train()

    model.save_pretrained(given.out / "training")
    packed_model(model).save_pretrained(given.out / "packed")
    served = AutoModelForCausalLM.from_pretrained(given.out / "packed")
    prompt = torch.tensor([list(b"The paper ")])
    said = served.generate(prompt, max_new_tokens=20, do_sample=False, pad_token_id=0)
    print(bytes(said[0].tolist()).decode(errors="replace"))


if __name__ == "__main__":
    main()
