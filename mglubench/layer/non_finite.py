"""Inputs that are not finite, at fixed places: what a layer makes of them is checked as well.

By the definition (mglubench/layer/input_set.py) a mask multiplies, and 0 * inf is NaN: of a layer with masks, every
output that a non-finite weight or x belongs to is NaN, whether the mask keeps it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

VALUES = (float("nan"), float("inf"), -float("inf"))
# Rows of a matrix that get one each: enough that masks keep and drop every value, in rows of every kind of tile.
ROWS = 12


def plant(values: torch.Tensor, matrix: int) -> None:
    """Put them into W or Wv, [d, h], rows of their own for each matrix, or into all x, [fresh, batch, h].

    Other rows and tokens stay finite. Of x the first draw spares the first token, so that a single one is finite there
    and not in the second draw.
    """
    if values.dim() == 2:
        for place in range(ROWS):
            row = 1 + matrix + 3 * place
            if row < len(values):
                values[row, (7 * place * place + place) % values.shape[1]] = VALUES[place % len(VALUES)]
        return
    for fresh, tokens in enumerate(values):
        for place, value in enumerate(VALUES):
            token = place + max(0, 1 - fresh)
            if token < len(tokens):
                tokens[token, (61 * place + fresh + 11) % tokens.shape[1]] = value
