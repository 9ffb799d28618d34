"""Bit packing of masks: one generic engine, one documented layout per consumer.

A mask set is a boolean array ``masks[nm, d, h]``; ``True`` sends an element of the weight to the gate, ``False`` to the
value. A :class:`Layout` says which bit of which byte holds ``masks[i, row, column]``. Every layout spends exactly
``nm`` bits per weight element of the padded matrix; the padding (rows to ``row_multiple``, columns to
``column_multiple(nm)``) is stated by the layout and is always filled with ``False``. ``bytes`` alone spends eight
(nm <= 8) or sixteen bits per element whatever nm is: it is the published format (arXiv 2506.23225, Algorithm 3) and
exists to reproduce it.

All of it is numpy on the host: packing is done once per layer, offline, and its result is uploaded.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mglubench.cases.vocabulary import NM_MAX
from mglubench.errors import UsageError

# Mask elements that are reordered at a time.
_PACKED_AT_ONCE = 1 << 21

BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PackedMasks:
    """Masks in the byte order of one layout.

    Attributes:
        data: the bytes, one dimension, C order.
        layout: name of the layout that wrote them.
        nm, d, h: shape of the masks before padding.
    """

    data: ByteArray
    layout: str
    nm: int
    d: int
    h: int


class Layout(ABC):
    """A bijection between mask elements and bits; subclasses only reorder, the engine pads and packs.

    Tiles of ``row_multiple`` rows are stored one behind the other.
    """

    name: str
    summary: str
    row_multiple: int = 1
    # Whether a mask is stored whole before the next; else all masks of a row (or tile of rows) before the next.
    mask_by_mask: bool = False

    def column_multiple(self, nm: int) -> int:
        """Columns are padded with ``False`` to a multiple of this."""
        return 1

    def bits_per_element(self, nm: int) -> int:
        """Bits stored per element of the padded matrix."""
        return nm

    @abstractmethod
    def arrange(self, masks: BoolArray) -> BoolArray:
        """Reorder padded ``masks[nm, D, H]`` into storage order; bit 0 of byte 0 comes first."""

    @abstractmethod
    def restore(self, bits: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        """Invert :meth:`arrange`: flat storage-order ``bits`` to padded ``masks[nm, d, h]``."""

    def padded_shape(self, nm: int, d: int, h: int) -> tuple[int, int]:
        """Rows and columns after padding."""
        return round_up(d, self.row_multiple), round_up(h, self.column_multiple(nm))

    def nbytes(self, nm: int, d: int, h: int) -> int:
        """Bytes that the packed masks take, padding included."""
        rows, columns = self.padded_shape(nm, d, h)
        return rows * columns * self.bits_per_element(nm) // 8


class RowLanes32(Layout):
    """Row-major chunks of 512 columns; a chunk holds 16 little-endian 32-bit words per mask, one per vector lane.

    Bit ``b`` of ``word[row, chunk, i, lane]`` is ``masks[i, row, 512 * chunk + 16 * b + lane]``. Columns behind the
    last whole chunk come in blocks of 16, one 16-bit word per mask: bit ``j`` of ``word[row, block, i]`` is that of
    column ``16 * block + j``. Consumer: ``mglu-numba-cpu``, which tests one bit in all lanes for the predicate of a
    block. Padding: columns to 16.
    """

    name = "row-lanes32"
    summary = "row-major, 512-column chunks, one 32-bit word per mask and vector lane (CPU)"

    def column_multiple(self, nm: int) -> int:
        return 16

    def arrange(self, masks: BoolArray) -> BoolArray:
        nm, d, h = masks.shape
        whole = h // 512 * 512
        chunks = masks[:, :, :whole].reshape(nm, d, -1, 32, 16).transpose(1, 2, 0, 4, 3)
        blocks = masks[:, :, whole:].reshape(nm, d, -1, 16).transpose(1, 2, 0, 3)
        return np.concatenate([chunks.reshape(d, -1), blocks.reshape(d, -1)], axis=1)

    def restore(self, bits: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        whole = h // 512 * 512
        rows = bits.reshape(d, h * nm)
        chunks = rows[:, : whole * nm].reshape(d, -1, nm, 16, 32).transpose(2, 0, 1, 4, 3)
        blocks = rows[:, whole * nm :].reshape(d, -1, nm, 16).transpose(2, 0, 1, 3)
        return np.concatenate([chunks.reshape(nm, d, -1), blocks.reshape(nm, d, -1)], axis=2)


class MaskBytes(Layout):
    """One byte per element (nm <= 8) or a 16-bit word (nm <= 16): bit ``i`` is ``masks[i, row, column]``.

    Consumer: ``flash-mglu-paper``, the format of the paper's Algorithm 3. Nothing is saved for small nm.
    """

    name = "bytes"
    summary = "row-major, one byte per element whatever nm (the paper's Algorithm 3)"

    def bits_per_element(self, nm: int) -> int:
        return 8 if nm <= 8 else 16

    def arrange(self, masks: BoolArray) -> BoolArray:
        nm, d, h = masks.shape
        bits = np.zeros((d, h, self.bits_per_element(nm)), np.bool_)
        bits[:, :, :nm] = masks.transpose(1, 2, 0)
        return bits

    def restore(self, bits: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        return bits.reshape(d, h, self.bits_per_element(nm))[:, :, :nm].transpose(2, 0, 1)


class LaneWords(Layout):
    """Layouts of the CUDA kernels: one 32-bit word per lane of a warp and mask, for the elements the lane loads.

    A chunk is what a warp multiplies in one step, 32 elements per lane. Its ``nm`` words per lane are stored so that
    every load of the warp is contiguous: ``[32 lanes][4 words]`` for each four masks, then ``[32][2]`` if two or three
    are left, then ``[32][1]`` if ``nm`` is odd; ``128 * nm`` bytes per chunk.
    """

    @abstractmethod
    def to_words(self, masks: BoolArray) -> BoolArray:
        """Padded ``masks[nm, D, H]`` to ``[chunks, nm, 32 lanes, 32 bits]``."""

    @abstractmethod
    def from_words(self, words: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        """Invert :meth:`to_words`."""

    def arrange(self, masks: BoolArray) -> BoolArray:
        words = self.to_words(masks)
        chunks, nm = words.shape[:2]
        groups = [words[:, first : first + count] for first, count in _word_groups(nm)]
        return np.concatenate([group.transpose(0, 2, 1, 3).reshape(chunks, -1) for group in groups], axis=1)

    def restore(self, bits: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        chunks = bits.reshape(-1, nm * 32 * 32)
        words = np.empty((chunks.shape[0], nm, 32, 32), np.bool_)
        for first, count in _word_groups(nm):
            group = chunks[:, first * 1024 : (first + count) * 1024].reshape(-1, 32, count, 32)
            words[:, first : first + count] = group.transpose(0, 2, 1, 3)
        return self.from_words(words, nm, d, h)


class MmaTiles(LaneWords):
    """Chunks of 16 rows x 64 columns in the fragment order of ``mma.m16n8k16``, row tile by row tile.

    Lane ``4 g + q`` holds rows ``g`` and ``g + 8``, columns ``32 t + 8 q + 2 v + e`` (``t``, ``e`` in 0..1, ``v`` in
    0..3). Bit ``16 e + 8 t + 4 r + v`` of word ``i`` is mask ``i`` at row ``8 r + g`` and that column. Consumers:
    ``flash-mglu-mma``, ``flash-mglu-bulk``. Padding: rows to 16, columns to 64.
    """

    name = "mma-16x64"
    summary = "16 x 64 chunks in mma.m16n8k16 fragment order, nm 32-bit words per lane (CUDA tensor cores)"
    row_multiple = 16

    def column_multiple(self, nm: int) -> int:
        return 64

    def to_words(self, masks: BoolArray) -> BoolArray:
        nm, d, h = masks.shape
        split = masks.reshape(nm, d // 16, 2, 8, h // 64, 2, 4, 4, 2)  # nm, tile, r, g, chunk, t, q, v, e
        return split.transpose(1, 4, 0, 3, 6, 8, 5, 2, 7).reshape(-1, nm, 32, 32)

    def from_words(self, words: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        split = words.reshape(d // 16, h // 64, nm, 8, 4, 2, 2, 2, 4)  # tile, chunk, nm, g, q, e, t, r, v
        return split.transpose(2, 0, 7, 3, 1, 6, 4, 8, 5).reshape(nm, d, h)


class MmaPlanes(MmaTiles):
    """The words of ``mma-16x64``, mask by mask: whole planes of 16 x 64 chunks, one word per lane each.

    Consumer: ``flash-mglu-routed``, which goes without the planes that no token keeps.
    """

    name = "mma-16x64-planes"
    summary = "16 x 64 chunks in mma.m16n8k16 fragment order, one mask after the other (CUDA tensor cores, Top-K)"
    mask_by_mask = True

    def arrange(self, masks: BoolArray) -> BoolArray:
        return self.to_words(masks).swapaxes(0, 1)

    def restore(self, bits: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        return self.from_words(bits.reshape(nm, -1, 32, 32).swapaxes(0, 1), nm, d, h)


class RowChunks(LaneWords):
    """Row-major chunks of 1024 columns of one row, four 16-byte vectors per lane.

    Bit ``8 u + e`` of lane ``l``'s word ``i`` is mask ``i`` at column ``256 u + 8 l + e`` of the chunk (``u`` in 0..3,
    ``e`` in 0..7). Consumer: ``flash-mglu-packed``. Padding: columns to 1024.
    """

    name = "row-1024"
    summary = "row-major, 1024-column chunks, nm 32-bit words per lane (CUDA cores)"

    def column_multiple(self, nm: int) -> int:
        return 1024

    def to_words(self, masks: BoolArray) -> BoolArray:
        nm, d, h = masks.shape
        split = masks.reshape(nm, d * (h // 1024), 4, 32, 8)  # nm, chunk, u, lane, e
        return split.transpose(1, 0, 3, 2, 4).reshape(-1, nm, 32, 32)

    def from_words(self, words: BoolArray, nm: int, d: int, h: int) -> BoolArray:
        return words.reshape(-1, nm, 32, 4, 8).transpose(1, 0, 3, 2, 4).reshape(nm, d, h)


def _word_groups(nm: int) -> list[tuple[int, int]]:
    """(first mask, masks) of each load of a lane: fours, then a pair, then a single one."""
    groups = [(first, 4) for first in range(0, nm - 3, 4)]
    if nm % 4 >= 2:
        groups.append((nm // 4 * 4, 2))
    if nm % 2:
        groups.append((nm - 1, 1))
    return groups


def _registry(layouts: Iterable[Layout]) -> dict[str, Layout]:
    return {layout.name: layout for layout in layouts}


LAYOUTS: dict[str, Layout] = _registry([RowLanes32(), MaskBytes(), MmaTiles(), MmaPlanes(), RowChunks()])


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def pack(masks: npt.ArrayLike, layout: str) -> PackedMasks:
    """Pack ``masks[nm, d, h]`` (boolean, or 0 and 1) into the bytes of ``layout``.

    Raises:
        UsageError: unknown layout, nm outside 1..16, an array that is empty or not [nm, d, h], values beside 0 and 1.
    """
    array = _as_masks(masks)
    nm, d, h = array.shape
    chosen = get_layout(layout)
    rows, columns = chosen.padded_shape(nm, d, h)
    if (rows, columns) != (d, h):
        padded = np.zeros((nm, rows, columns), np.bool_)
        padded[:, :d, :h] = array
        array = padded
    # Some rows at a time, so that what is reordered stays in the caches and whole bytes come of it.
    step = round_up(max(1, _PACKED_AT_ONCE // (nm * columns)), math.lcm(8, chosen.row_multiple))
    groups = array[:, None] if chosen.mask_by_mask else array[None]
    parts = (chosen.arrange(group[:, first : first + step]) for group in groups for first in range(0, rows, step))
    packed = [np.packbits(np.ascontiguousarray(part).reshape(-1), bitorder="little") for part in parts]
    return PackedMasks(np.concatenate(packed), layout, nm, d, h)


def unpack(packed: PackedMasks) -> BoolArray:
    """Recover ``masks[nm, d, h]`` from :func:`pack`'s result, padding removed."""
    layout = get_layout(packed.layout)
    rows, columns = layout.padded_shape(packed.nm, packed.d, packed.h)
    if packed.data.size != layout.nbytes(packed.nm, packed.d, packed.h):
        raise UsageError(
            f"packed masks hold {packed.data.size} bytes, layout {layout.name} needs "
            f"{layout.nbytes(packed.nm, packed.d, packed.h)} for nm={packed.nm} d={packed.d} h={packed.h}"
        )
    bits = np.unpackbits(packed.data, bitorder="little").view(np.bool_)
    restored = layout.restore(bits, packed.nm, rows, columns)
    return np.ascontiguousarray(restored[:, : packed.d, : packed.h])


def get_layout(name: str) -> Layout:
    """Look a layout up by name; raises :class:`UsageError` that lists the known ones."""
    try:
        return LAYOUTS[name]
    except KeyError:
        raise UsageError(f"unknown mask layout {name!r}; known: {', '.join(sorted(LAYOUTS))}") from None


def _as_masks(masks: npt.ArrayLike) -> BoolArray:
    array = np.asarray(masks)
    if array.ndim != 3 or 0 in array.shape:
        raise UsageError(f"masks must be [nm, d, h] with no empty axis, got shape {array.shape}")
    if not 1 <= array.shape[0] <= NM_MAX:
        raise UsageError(f"nm must be 1 to {NM_MAX}, got {array.shape[0]}")
    if array.dtype == np.bool_:
        return array
    if not np.isin(array, (0, 1)).all():
        raise UsageError("masks must hold only 0 and 1")
    return array.astype(np.bool_)
