"""The words that cases are made of: layers, dtypes, activations, modes, devices, and how near a wrong word was."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from mglubench.errors import UsageError

LayerKind = Literal["read", "product", "lu", "glu", "mglu"]

LAYERS: dict[str, str] = {
    "read": "no layer: every weight is read once and summed by row, y = sum_k W[:, k] (the bandwidth ceiling)",
    "product": "no layer: a matrix product with as many tokens as asked for, y = x W^T (the arithmetic ceiling)",
    "lu": "no gate: y = g(x W^T)",
    "glu": "two weight matrices: y = g(x Wg^T) * (x Wv^T); SwiGLU, GEGLU and ReGLU by the activation",
    "mglu": "one weight matrix and nm masks: y = sum_i g(x (M_i * W)^T) * (x ((1 - M_i) * W)^T)",
}

# Kinds that measure what the device can give; they take no part in tables, speed-ups and charts of layers.
CEILINGS: tuple[LayerKind, ...] = ("read", "product")

# Masks that a layer may have; the layouts hold no more.
NM_MAX = 16

ITEMSIZE: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
DTYPE_ALIASES = {
    "fp32": "float32",
    "f32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "half": "float16",
}
# How W is stored; what each means is said in ``layer/formats``.
SAME = "same"
WEIGHTS: dict[str, str] = {
    SAME: "in the dtype of x and y",
    "int8": "8 bits an element, symmetric, a scale per row",
    "int4": "4 bits an element, symmetric, a scale per 128 columns of a row",
    "fp8-e4m3": "8-bit floats of 4 exponent bits, a scale per row",
    "mxfp4": "4-bit floats, a power of two per 32 columns of a row (OCP microscaling)",
}
WEIGHTS_ALIASES = {"fp8": "fp8-e4m3", "e4m3": "fp8-e4m3"}
# What is measured of a feed-forward block.
LAYER, MLP = "layer", "mlp"
BLOCKS: dict[str, str] = {
    LAYER: "the layer alone, from x to its d outputs",
    MLP: "the layer and the down projection behind it, from x to h outputs",
}
ACTIVATIONS = ("silu", "gelu", "relu")
# What papers and libraries call them, alone and as a gate.
ACTIVATION_ALIASES = {"swish": "silu", "swiglu": "silu", "geglu": "gelu", "reglu": "relu"}
MODES: dict[str, str] = {
    "cold": "weights come from memory, as in a decode step: a GPU's L2 is emptied before every sample, on a CPU "
    "launches take turns over copies that the caches cannot hold",
    "walk": "a CPU's caches are emptied by a walk over a large buffer before every sample; thread pools fall asleep",
    "hot": "back-to-back runs over one buffer: what a cache-resident layer costs",
    "graph": "CUDA-graph replay over rotating buffers larger than the L2 cache: a serving loop",
}
# A fleet numbers CPUs, too, and has more devices than a machine.
_DEVICE = re.compile(r"(cpu|cuda)(:\d{1,4})?")


def dtype_name(text: str) -> str:
    """Canonical dtype name (``bf16`` becomes ``bfloat16``)."""
    return one_of(_spelt(text, DTYPE_ALIASES), ITEMSIZE, "dtype")


def weights_name(text: str) -> str:
    """Canonical weight format (``fp8`` becomes ``fp8-e4m3``)."""
    return one_of(_spelt(text, WEIGHTS_ALIASES), WEIGHTS, "weights")


def block_name(text: str) -> str:
    """Canonical name of what is measured of a block."""
    return one_of(text.lower(), BLOCKS, "block")


def activation_name(text: str) -> str:
    """Canonical activation name."""
    return one_of(_spelt(text, ACTIVATION_ALIASES), ACTIVATIONS, "activation")


def mode_name(text: str) -> str:
    """Canonical timing mode."""
    return one_of(text.lower(), MODES, "mode")


def device_name(text: str) -> str:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``; in rows of a fleet also ``cpu:N``."""
    name = text.lower()
    if name == "auto" or _DEVICE.fullmatch(name):
        return name
    raise UsageError(f"unknown device {text!r}; {near(name, ('cpu', 'cuda', 'auto'))}")


def device_kind(device: str) -> str:
    """``cuda`` for ``cuda:1``."""
    return device.partition(":")[0]


def mask_name(text: str) -> str:
    """Canonical mask distribution: ``ones``, ``zeros``, or ``bernoulli:P`` with 0 <= P <= 1 (a bare P works too)."""
    name = text.strip().lower()
    if name in ("ones", "zeros"):
        return name
    ratio = name.removeprefix("bernoulli:")
    try:
        value = float(ratio)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"unknown mask {text!r}; use ones, zeros, or the share of gate bits, such as bernoulli:0.5")
    return f"bernoulli:{value:g}"


def one_of(name: str, known: Iterable[str], what: str) -> str:
    """Return ``name`` if it is known, else raise a :class:`UsageError` that offers the near matches."""
    options = list(known)
    if name in options:
        return name
    raise UsageError(f"unknown {what} {name!r}; {near(name, options)}")


def _spelt(text: str, aliases: Mapping[str, str]) -> str:
    """A name as it is known here; what Python code gives that is no text, a function say, is no name."""
    return aliases.get(text.lower(), text.lower()) if isinstance(text, str) else text


def near(name: str, options: Iterable[str]) -> str:
    """``did you mean ...?`` if something is near, else the list of what is known."""
    known = list(options)
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5) if isinstance(name, str) else []
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    return f"known: {', '.join(known)}"
