"""The CPU kernels read nothing beyond their buffers: each ends at a page that nobody may touch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mglubench.kernels.cpu_choice import adds_pairs

PROGRAM = """
import ctypes, json, mmap, sys
import numpy as np
from mglubench.kernels.cpu_layers import glu_layer, mglu_layer, row_sums
from mglubench.kernels.cpu_rows import RowShape

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
kept = []

def fenced(shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // PAGE) * PAGE
    block = mmap.mmap(-1, pages + PAGE)
    kept.append(block)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    assert libc.mprotect(ctypes.c_void_p(start + pages), PAGE, 0) == 0
    array = np.frombuffer(block, dtype, int(np.prod(shape)), pages - size).reshape(shape)
    return array

for nm, batch, dtype, columns, dots in json.loads(sys.argv[1]):
    d, tile = 5, 2
    element = np.float32 if dtype == "float32" else np.uint16
    kind = np.uint16 if dots else np.float32
    weight, x, y = fenced((d, columns), element), fenced((batch, columns), kind), fenced((batch, d), kind)
    masks = fenced((d * columns // 16 * max(nm, 1),), np.uint16)
    x[:] = 0x3F80 if dots else 1.0
    masks[:] = 0x5555
    if nm:
        mglu_layer(RowShape(nm, tile, dtype, rows=2, dots=dots), "relu")(weight, masks, x, y, 3)
    else:
        glu_layer(RowShape(0, tile, dtype, rows=2, gated=True, dots=dots), "relu")(weight, weight, x, y, 3)
        row_sums(dtype)(weight, fenced((columns,), np.float32), fenced((d,), np.float32), 2)
print("done")
"""


@pytest.mark.parametrize(("dtype", "dots"), [("float32", False), ("bfloat16", False), ("bfloat16", True)])
def test_kernels_stay_within_weights_masks_x_and_y(dtype: str, dots: bool) -> None:
    if dots and not adds_pairs():
        pytest.skip("this processor has no AVX-512 BF16")
    # Blocks alone, and a whole chunk of masks before them.
    cases = [(nm, 2, dtype, columns, dots) for nm in (0, 1, 3, 6, 16) for columns in (48, 560)]
    command = [sys.executable, "-c", PROGRAM, json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-1000:]}"
    assert done.stdout == "done\n"
