"""Products in float64 that references are made of, with the sizes of their sums; a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from mglubench.layer.drawing import read_only

if TYPE_CHECKING:
    import torch

Float64 = npt.NDArray[np.float64]
# Weights per float64 block of the reference: 8 MiB, which stays in a core's caches.
_REFERENCE_BLOCK = 1 << 20
_MANY_COLUMNS = 64


class Sums(NamedTuple):
    """Sums of products in float64, and the sums of the squares of the same products, of one shape."""

    values: Float64
    squares: Float64

    def of(self, tokens: slice) -> Sums:
        """Columns of some tokens."""
        return Sums(self.values[:, tokens], self.squares[:, tokens])


def sums_of_rows(weight: torch.Tensor) -> Sums:
    """sum_k W[:, k], [d, 1]."""
    found = [(block.sum(dim=1), block.square_().sum(dim=1)) for _, block in _blocks(weight, _scratch(weight))]
    sums, squares = (np.concatenate([part.numpy() for part in parts])[:, None] for parts in zip(*found, strict=True))
    return Sums(sums, squares)


def halves(weight: torch.Tensor, tokens: torch.Tensor, mask: npt.NDArray[np.bool_], total: Sums) -> tuple[Sums, Sums]:
    """Gate (mask * W) x^T and value ((1 - mask) * W) x^T, [d, tokens] each.

    The complement is taken of the weights, where it is exact, not of the sums: each half is a product of its own.

    Args:
        weight: [d, h]. tokens: [..., h]. total: W x^T.
    """
    import torch

    x, squared_x = _columns(tokens)
    shape = len(weight), x.shape[1]
    gate, value, squares = np.empty(shape), np.empty(shape), np.empty(shape)
    scratch = _scratch(weight)
    for rows, block in _blocks(weight, _scratch(weight)):
        kept = torch.mul(block, read_only(mask[rows]), out=scratch[: len(block)])
        gate[rows] = (kept @ x).numpy()
        value[rows] = (block.sub_(kept) @ x).numpy()
        squares[rows] = (kept.square_() @ squared_x).numpy()
    # All terms are positive: what the gate leaves of their sum loses no digits that matter.
    with np.errstate(invalid="ignore"):
        return Sums(gate, squares), Sums(value, np.maximum(total.squares - squares, 0.0))


def project(weight: torch.Tensor, tokens: torch.Tensor) -> Sums:
    """W x^T, [d, tokens], of weight [d, h] and tokens [..., h]."""
    x, squared_x = _columns(tokens)
    out, squares = np.empty((len(weight), x.shape[1])), np.empty((len(weight), x.shape[1]))
    # Sizes of errors need no 16 digits: where products dominate (many tokens), half the time is saved.
    short = x.shape[1] > _MANY_COLUMNS
    if short:
        squared_x = squared_x.float()
    for rows, block in _blocks(weight, _scratch(weight)):
        out[rows] = (block @ x).numpy()
        squared = block.square_()
        squares[rows] = ((squared.float() if short else squared) @ squared_x).numpy()
    return Sums(out, squares)


def _columns(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every x in float64, [h, tokens], and their squares."""
    x = tokens.reshape(-1, tokens.shape[-1]).double().T.contiguous()
    return x, x.square()


def _blocks(weight: torch.Tensor, scratch: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows of a matrix and what they hold in float64, a block at a time, all in the same memory.

    Fresh memory for every block would cost more than the arithmetic: its pages have to be mapped first.
    """
    for start in range(0, len(weight), len(scratch)):
        rows = slice(start, start + len(scratch))
        part = weight[rows]
        yield rows, scratch[: len(part)].copy_(part)


def _scratch(weight: torch.Tensor) -> torch.Tensor:
    """Room for one block in float64."""
    import torch

    d, h = weight.shape
    return torch.empty((min(d, max(1, _REFERENCE_BLOCK // h)), h), dtype=torch.float64)
