"""Packing is a bijection between mask elements and documented bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mglubench import pack, unpack
from mglubench.errors import UsageError
from mglubench.layer import masks as masks_module
from mglubench.layer.masks import LAYOUTS, PackedMasks, get_layout, round_up

layouts = st.sampled_from(sorted(LAYOUTS))
shapes = st.tuples(st.integers(1, 16), st.integers(1, 40), st.integers(1, 140))


def draw_masks(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < 0.5


@settings(max_examples=150, deadline=None)
@given(layouts, shapes, st.integers(0, 2**32 - 1))
def test_unpack_inverts_pack_at_any_shape(layout, shape, seed):
    masks = draw_masks(shape, seed)
    packed = pack(masks, layout)
    assert (packed.nm, packed.d, packed.h) == shape
    np.testing.assert_array_equal(unpack(packed), masks)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("nm", [1, 3, 8])
def test_some_rows_at_a_time_are_packed_as_all_at_once(layout, nm, monkeypatch):
    masks = draw_masks((nm, 100, 600))
    whole = pack(masks, layout)
    monkeypatch.setattr(masks_module, "_PACKED_AT_ONCE", 1)
    np.testing.assert_array_equal(pack(masks, layout).data, whole.data)


@settings(max_examples=100, deadline=None)
@given(layouts, shapes)
def test_size_is_the_stated_bits_per_element_of_the_stated_padding(layout, shape):
    nm, d, h = shape
    chosen = LAYOUTS[layout]
    rows, columns = round_up(d, chosen.row_multiple), round_up(h, chosen.column_multiple(nm))
    packed = pack(draw_masks(shape), layout)
    assert packed.data.dtype == np.uint8
    assert packed.data.size * 8 == rows * columns * chosen.bits_per_element(nm)
    assert packed.data.size == chosen.nbytes(nm, d, h)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"bytes"}))
@pytest.mark.parametrize("nm", range(1, 17))
def test_every_layout_but_the_published_one_spends_exactly_nm_bits(layout, nm):
    assert LAYOUTS[layout].bits_per_element(nm) == nm


@pytest.mark.parametrize(("nm", "bits"), [(1, 8), (8, 8), (9, 16), (16, 16)])
def test_published_layout_spends_whole_bytes(nm, bits):
    assert LAYOUTS["bytes"].bits_per_element(nm) == bits


@settings(max_examples=100, deadline=None)
@given(layouts, shapes)
def test_padding_bits_are_false(layout, shape):
    packed = pack(np.ones(shape, np.bool_), layout)
    assert int(np.unpackbits(packed.data).sum()) == np.prod(shape)


@settings(max_examples=60, deadline=None)
@given(layouts, shapes, st.data())
def test_each_element_owns_one_bit(layout, shape, data):
    i, r, c = (data.draw(st.integers(0, size - 1)) for size in shape)
    masks = draw_masks(shape)
    flipped = masks.copy()
    flipped[i, r, c] ^= True
    difference = np.unpackbits(pack(masks, layout).data ^ pack(flipped, layout).data)
    assert difference.sum() == 1


@pytest.mark.parametrize(("nm", "d", "h"), [(1, 3, 40), (3, 2, 512), (16, 2, 17), (2, 3, 530), (5, 1, 1060)])
def test_row_lanes32_holds_the_documented_bit(nm, d, h):
    masks = draw_masks((nm, d, h))
    rows = pack(masks, "row-lanes32").data.reshape(d, -1)
    chunked = h // 512 * 64 * nm
    lanes = np.ascontiguousarray(rows[:, :chunked]).view("<u4").reshape(d, h // 512, nm, 16)
    words = np.ascontiguousarray(rows[:, chunked:]).view("<u2").reshape(d, -1, nm)
    for i, row, column in np.ndindex(masks.shape):
        chunk, within = divmod(column, 512)
        if chunk < h // 512:
            bit = int(lanes[row, chunk, i, within % 16]) >> within // 16 & 1
        else:
            bit = int(words[row, within // 16, i]) >> within % 16 & 1
        assert bit == masks[i, row, column]


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.integers(1, 16), st.integers(1, 5), st.integers(1, 40)), st.integers(0, 99))
def test_bytes_holds_the_documented_bit(shape, seed):
    nm, d, h = shape
    masks = draw_masks(shape, seed)
    words = pack(masks, "bytes").data.view("u1" if nm <= 8 else "<u2").reshape(d, h)
    for row in range(d):
        for column in range(h):
            assert int(words[row, column]) == sum(int(masks[i, row, column]) << i for i in range(nm))


@pytest.mark.parametrize("nm", [1, 2, 3, 4, 5, 7, 8, 15, 16])
def test_mma_tiles_hold_the_documented_bit(nm):
    masks = draw_masks((nm, 20, 70))
    words = lane_words(pack(masks, "mma-16x64").data, nm).reshape(2, 2, nm, 32)
    for i, row, column in np.ndindex(masks.shape):
        r, g = divmod(row % 16, 8)
        t, q, v, e = (column % 64) // 32, (column % 32) // 8, (column % 8) // 2, column % 2
        word = int(words[row // 16, column // 64, i, 4 * g + q])
        assert word >> (16 * e + 8 * t + 4 * r + v) & 1 == masks[i, row, column]


def lane_words(data: np.ndarray, nm: int) -> np.ndarray:
    """``[chunks, nm, 32]`` words from groups of four, two and one masks, read as the lanes are documented."""
    chunks = data.view("<u4").reshape(-1, nm * 32)
    words = np.empty((len(chunks), nm, 32), np.uint32)
    first = 0
    for count in [4] * (nm // 4) + [2] * (nm % 4 // 2) + [1] * (nm % 2):
        part = chunks[:, first * 32 : (first + count) * 32].reshape(-1, 32, count)
        words[:, first : first + count] = part.transpose(0, 2, 1)
        first += count
    return words


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_zeros_and_ones_may_be_integers(layout):
    masks = draw_masks((2, 3, 20))
    np.testing.assert_array_equal(pack(masks.astype(np.int64), layout).data, pack(masks, layout).data)


@pytest.mark.parametrize(
    ("masks", "complaint"),
    [
        (np.zeros((4, 4), bool), r"\[nm, d, h\]"),
        (np.zeros((2, 0, 4), bool), "no empty axis"),
        (np.zeros((17, 2, 2), bool), "nm must be 1 to 16, got 17"),
        (np.full((1, 2, 2), 2), "only 0 and 1"),
        (np.full((1, 2, 2), np.nan), "only 0 and 1"),
    ],
)
def test_masks_that_are_none_are_refused(masks, complaint):
    with pytest.raises(UsageError, match=complaint):
        pack(masks, "row-lanes32")


def test_unknown_layout_names_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown mask layout 'diagonal'.*row-lanes32"):
        pack(np.ones((1, 1, 1), bool), "diagonal")
    with pytest.raises(UsageError, match=r"unknown mask layout"):
        get_layout("")


def test_truncated_bytes_are_refused():
    packed = pack(draw_masks((2, 4, 32)), "row-lanes32")
    cut = PackedMasks(packed.data[:-1], packed.layout, packed.nm, packed.d, packed.h)
    with pytest.raises(UsageError, match=r"hold 31 bytes, layout row-lanes32 needs 32"):
        unpack(cut)
