"""The layout of codes for the CUDA kernels: nothing is lost, and bytes are as they are declared."""

from __future__ import annotations

import pytest
import torch

from mglubench.layer.formats.tiles import from_tiles, matrix_tile_bytes, tiles_of
from mglubench.layer.formats.weight_formats import FORMATS

SHAPES = [(1, 1), (17, 63), (16, 64), (40, 1100), (33, 129)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FORMATS)
def test_tiles_hold_a_matrix_and_nothing_is_lost(name: str, shape: tuple[int, int]) -> None:
    form = FORMATS[name]
    matrix = form.quantise(torch.randn(*shape, generator=torch.Generator().manual_seed(1)))
    data = tiles_of(matrix)
    assert data.numel() == matrix_tile_bytes(form, *shape)
    again = from_tiles(form, data.flatten(), *shape)
    assert torch.equal(again.codes, matrix.codes)
    assert torch.equal(again.scales, matrix.scales)


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_matrix_has_no_byte_too_many(name: str) -> None:
    assert matrix_tile_bytes(FORMATS[name], 256, 2048) == FORMATS[name].nbytes(256, 2048)
