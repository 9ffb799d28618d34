"""The CUDA layout of weight formats, ``tiles``: codes in the order in which lanes of a warp load them, 16 bytes a lane.

A matrix is padded to tiles of 16 rows and steps of 64 columns. Of each tile come all steps,
``[vector][lane][16 bytes]``, then its scales. Lane ``4 g + t`` holds columns ``8 t`` to ``8 t + 7`` of both halves of a
step, of the rows ``g`` and ``g + 8``:

========  =====================================================================  ==================================
bits      16 bytes                                                               scales of a tile
========  =====================================================================  ==================================
8         of half ``vector``: 8 codes of row g, 8 of row g + 8                   fp32, one a row
4         of half 0: 8 codes of row g, of row g + 8; the same of half 1;         for each g and the steps of a group
          of 8, code ``2 j`` is nibble ``j``, code ``2 j + 1`` nibble ``j + 4``  a word: row g's, then row g + 8's
========  =====================================================================  ==================================

An int8 code is stored as ``n + 128``, without a sign. Source of the names: ``kernels_cuda/formats.cuh``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.layer.formats.nibble_rows import NibbleFormat
from mglubench.layer.formats.weight_format import Quantised, WeightFormat
from mglubench.layer.masks import round_up

if TYPE_CHECKING:
    import torch

ROWS, COLUMNS = 16, 64
_ROW_SCALES, _GROUP_WORDS = 4 * ROWS, 4 * ROWS // 2
_SIGN = {"int8": 0x80}


def tile_bytes(form: WeightFormat, h: int) -> int:
    """Bytes of a tile over rows of h columns."""
    steps = -(-h // COLUMNS)
    scales = _ROW_SCALES if form.group == 0 else -(-steps // _group_steps(form)) * _GROUP_WORDS
    return steps * ROWS * COLUMNS * form.bits // 8 + scales


def matrix_tile_bytes(form: WeightFormat, d: int, h: int) -> int:
    """Bytes of a matrix, padding included."""
    return round_up(d, ROWS) // ROWS * tile_bytes(form, h)


def tiles_of(matrix: Quantised) -> torch.Tensor:
    """A matrix as the CUDA kernels read it, uint8 [tiles, :func:`tile_bytes`]."""
    import torch

    (d, h), form = matrix.codes.shape, matrix.format
    tiles, steps = round_up(d, ROWS) // ROWS, -(-h // COLUMNS)
    padded = torch.nn.functional.pad(matrix.codes, (0, steps * COLUMNS - h, 0, tiles * ROWS - d))
    # [tile, rows g + 8 r as (r, g), step, half, t, 8 columns]
    codes = padded.view(tiles, 2, 8, steps, 2, 4, 8)
    if isinstance(form, NibbleFormat):
        words = codes.permute(0, 3, 2, 5, 4, 1, 6)  # [tile, step, g, t, half, r, 8]
        nibbles = torch.stack([words[..., 0::2], words[..., 1::2]], dim=-2).flatten(-2)
        laid = nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)
    else:
        laid = codes.permute(0, 3, 4, 2, 5, 1, 6) ^ _SIGN.get(form.name, 0)  # [tile, step, half, g, t, r, 8]
    return torch.cat([laid.reshape(tiles, -1), _scales_of(matrix, tiles, steps)], dim=1)


def from_tiles(form: WeightFormat, data: torch.Tensor, d: int, h: int) -> Quantised:
    """Inverse of :func:`tiles_of`."""
    import torch

    tiles, steps = round_up(d, ROWS) // ROWS, -(-h // COLUMNS)
    coded = steps * ROWS * COLUMNS * form.bits // 8
    laid, stored = data.view(tiles, -1)[:, :coded], data.view(tiles, -1)[:, coded:].contiguous()
    if isinstance(form, NibbleFormat):
        nibbles = torch.stack([laid & 15, laid >> 4], dim=2).view(tiles, steps, 8, 4, 2, 2, 2, 4)
        codes = nibbles.transpose(-1, -2).reshape(tiles, steps, 8, 4, 2, 2, 8).permute(0, 5, 2, 1, 4, 3, 6)
        groups = stored.view(tiles, -1, 8, 2, form.scale_bits * form.groups(COLUMNS) // 8)
        scales = form.scales_from(groups.permute(0, 3, 2, 1, 4).reshape(tiles * ROWS, -1).contiguous())
    else:
        plain = laid.view(tiles, steps, 2, 8, 4, 2, 8) ^ _SIGN.get(form.name, 0)
        codes, scales = plain.permute(0, 5, 3, 1, 2, 4, 6), stored.view(torch.float32).view(-1, 1)
    whole = codes.reshape(tiles * ROWS, steps * COLUMNS)
    return Quantised(form, whole[:d, :h].contiguous(), scales[:d, : form.groups(h)].contiguous())


def _group_steps(form: WeightFormat) -> int:
    """Steps that share a word of scales."""
    return max(1, form.group // COLUMNS)


def _scales_of(matrix: Quantised, tiles: int, steps: int) -> torch.Tensor:
    """Uint8 [tiles, bytes]."""
    import torch

    form, (d, groups) = matrix.format, matrix.scales.shape
    # Scales of a row in whole words; those of padding are 1.
    each = form.groups(COLUMNS) if form.group else 1
    wanted = -(-steps // _group_steps(form)) * each if form.group else 1
    spare = (0, wanted - groups, 0, tiles * ROWS - d)
    scales = torch.nn.functional.pad(matrix.scales, spare, value=1.0)
    if not isinstance(form, NibbleFormat):
        return scales.contiguous().view(torch.uint8).view(tiles, -1)
    stored = form.scale_bytes(scales).view(tiles, 2, 8, -1, each * form.scale_bits // 8)  # [tile, r, g, word, bytes]
    return stored.permute(0, 3, 2, 1, 4).reshape(tiles, -1)
