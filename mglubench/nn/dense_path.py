"""The layer as products with masked copies of W, made one at a time: for many tokens, where that is the faster way.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from mglubench.cases.vocabulary import SAME
from mglubench.kernels.on_device import dtype_of
from mglubench.nn.gated_sum import ACTIVATION

# Tokens from which products were the faster way on a CPU, by dtype: with one mask and with more.
# tests/benchmarks/batch.py measured it; None where one pass won up to the most that were
# tried, 2,048 with two masks and 1,024 in float16.
PRODUCTS_FROM: dict[str, tuple[int | None, int | None]] = {
    "float32": (512, None),
    "bfloat16": (64, 256),
    "float16": (None, None),
}


def many_on_cpu(x: torch.Tensor, nm: int, weights: str, *, rounded: bool) -> bool:
    """Whether products are the faster way for so many tokens [tokens, h] on a CPU; never over weights of a format.

    Args:
        rounded: whether projections may be rounded to x's dtype, as those of 16-bit products are.
    """
    fits = weights == SAME and (rounded or x.dtype == torch.float32)
    start = PRODUCTS_FROM[dtype_of(x)][nm > 1] if fits else None
    return start is not None and x.shape[0] >= start


def by_products(
    x: torch.Tensor,
    weight: torch.Tensor,
    copies: Iterable[torch.Tensor],
    activation: str,
    gates: torch.Tensor | None = None,
) -> torch.Tensor:
    """Y [tokens, d] of x [tokens, h] in nm + 1 products.

    Args:
        weight: [d, h]. copies: of the weight, nm times, zero where an element is not the gate's. gates: a router's
            weights, [tokens, nm].
    """
    g = ACTIVATION[activation].g
    t = x @ weight.T
    y = torch.zeros_like(t)
    for i, copy in enumerate(copies):
        s = x @ copy.T
        value = t - s
        y.addcmul_(g(s), value if gates is None else value.mul_(gates[:, i, None]))
    return y


def copies_of_lanes(weight: torch.Tensor, masks: torch.Tensor, nm: int) -> Iterator[torch.Tensor]:
    """The masked copies of weight [d, columns] by masks that are packed in layout ``row-lanes32``."""
    d, columns = weight.shape
    rows, chunks = masks.view(d, -1), columns // 512
    words = rows[:, : chunks * 64 * nm].flatten().view(torch.int32).view(d, chunks, nm, 1, 16)
    rest = rows[:, chunks * 64 * nm :].flatten().view(torch.int16).view(d, columns // 16 - chunks * 32, nm, 1)
    bits, columns_of_rest = torch.arange(32, dtype=torch.int32)[:, None], torch.arange(16, dtype=torch.int16)
    for i in range(nm):
        whole = (words[:, :, i] >> bits).bitwise_and_(1).view(d, -1)
        ends = (rest[:, :, i] >> columns_of_rest).bitwise_and_(1).view(d, -1)
        copy = torch.empty_like(weight)
        copy[:, : whole.shape[1]], copy[:, whole.shape[1] :] = whole, ends
        yield copy.mul_(weight)
