"""The Triton kernel behind ``flash-mglu-triton``; imported only where Triton is about to be used.

A program takes ``ROWS`` rows of W and one token, and walks chunks of 1024 columns. Masks come in layout ``row-1024``:
lane l holds, per mask, one 32-bit word for columns 256 u + 8 l + e of the chunk (u = 0..3, e = 0..7). So the tiles are

    weights  [ROWS, 32 lanes, 8]           one 16-byte vector per row, lane and u
    words    [ROWS, 32 lanes, MASKS]       one word per row, lane and mask; bit 8 u + e is tested
    sums     [ROWS, 32 lanes, MASKS]       fp32; they meet across lanes once, at the end
"""

from __future__ import annotations

import triton
import triton.language as tl

CHUNK = 1024


@triton.jit  # type: ignore[untyped-decorator]
def word_offsets(lanes, masks, NM: tl.constexpr):  # type: ignore[no-untyped-def]
    """Places of a chunk's words: [32][4] for each four masks, then [32][2] for a pair, then [32][1]."""
    fours = NM // 4 * 4
    in_fours = masks // 4 * 128 + lanes * 4 + masks % 4
    in_pair = fours * 32 + lanes * 2 + masks - fours
    rest = tl.where((NM % 4 >= 2) & (masks < fours + 2), in_pair, masks * 32 + lanes)
    return tl.where(masks < fours, in_fours, rest)


@triton.jit  # type: ignore[untyped-decorator]
def activated(v, ACTIVATION: tl.constexpr):  # type: ignore[no-untyped-def]
    """g(v) in fp32; gelu in its exact form."""
    if ACTIVATION == "silu":
        result = v / (1.0 + tl.exp(-v))
    elif ACTIVATION == "gelu":
        result = 0.5 * v * (1.0 + tl.erf(v * 0.7071067811865476))
    else:
        result = tl.maximum(v, 0.0)
    return result


@triton.jit  # type: ignore[untyped-decorator]
def flash_mglu(  # type: ignore[no-untyped-def]
    w,  # [d, w_row_stride]
    masks,  # int32 words of layout row-1024
    x,  # [batch, h]
    y,  # [batch, d]
    h,
    d,
    w_row_stride,
    NM: tl.constexpr,
    MASKS: tl.constexpr,  # the power of two that holds NM
    ACTIVATION: tl.constexpr,
    WHOLE: tl.constexpr,  # h is a multiple of 1024
    ROWS: tl.constexpr,
    STAGES: tl.constexpr,  # chunks in flight; above 1, loads go through shared memory ahead of their use
):
    """y[token, row] = sum_i g(gate_i) * (T - gate_i); grid (ceil(d / ROWS), batch)."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    token = tl.program_id(1)
    # Rows beyond d are clamped to the last one, and not stored.
    row = tl.minimum(rows, d - 1).to(tl.int64)
    chunks = (h + 1023) // 1024
    index = tl.arange(0, MASKS)[None, None, :]
    words_at = word_offsets(tl.arange(0, 32)[None, :, None], index, NM) + (row * chunks * (32 * NM))[:, None, None]
    lane_columns = (8 * tl.arange(0, 32))[:, None] + tl.arange(0, 8)[None, :]
    row_start = (row * w_row_stride)[:, None, None]

    total = tl.zeros((ROWS, 32), tl.float32)
    gates = tl.zeros((ROWS, 32, MASKS), tl.float32)
    for chunk in tl.range(chunks, num_stages=STAGES):
        words = tl.load(masks + words_at + chunk * (32 * NM), mask=index < NM, other=0)
        for u in tl.static_range(4):
            columns = chunk * 1024 + 256 * u + lane_columns
            if WHOLE:
                weights = tl.load(w + row_start + columns[None, :, :])
                tokens = tl.load(x + token * h + columns)
            else:
                weights = tl.load(w + row_start + columns[None, :, :], mask=columns[None, :, :] < h, other=0.0)
                tokens = tl.load(x + token * h + columns, mask=columns < h, other=0.0)
            product = weights.to(tl.float32) * tokens.to(tl.float32)[None, :, :]
            total += tl.sum(product, axis=2)
            bits = (words[:, :, :, None] >> (8 * u + tl.arange(0, 8))[None, None, None, :]) & 1
            gates += tl.sum(tl.where(bits != 0, product[:, :, None, :], 0.0), axis=3)

    # Unused masks have gate 0, and every activation of 0 is 0. What is not finite in T is not a number in y.
    t = tl.sum(total, axis=1)
    gate = tl.sum(gates, axis=1)
    result = tl.sum(activated(gate, ACTIVATION) * (t[:, None] - gate), axis=1) + t * 0.0
    tl.store(y + token * d + rows, result.to(y.dtype.element_ty), mask=rows < d)


def configurations() -> list[triton.Config]:
    """What the autotuner tries on a GPU: at least a row per warp, or a lane would load less than 16 bytes at a time."""
    tried = [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 1), (2, 1, 1), (4, 2, 1)]
    tried += [(1, 1, 3), (2, 2, 3), (4, 4, 3), (8, 8, 3)]
    return [triton.Config({"ROWS": rows, "STAGES": stages}, num_warps=warps) for rows, warps, stages in tried]
