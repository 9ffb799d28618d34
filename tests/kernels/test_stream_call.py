"""The readers of a CPU's ceiling: every weight counts once, whatever the number of rows, blocks and streams."""

from __future__ import annotations

import pytest
import torch

from mglubench.kernels.stream_call import stream_sums_call


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("streams", "ahead"), [(1, 0), (3, 512), (4, 0), (4, 512)])
def test_every_weight_is_read_once(streams, ahead, dtype):
    for d in (1, 2, 3, 7, 8, 9, 31, 64, 101):
        for columns in (16, 32, 48, 80):
            # Whole numbers whose sums are exact in fp32, so that a weight left out or read twice shows.
            weight = torch.randint(-8, 9, (d, columns)).to(dtype)
            sums = torch.full((d,), float("nan"))
            stream_sums_call(weight, streams, ahead)(sums)
            assert torch.equal(sums, weight.double().sum(dim=1).float()), (d, columns)


def test_asking_ahead_beyond_the_end_of_the_matrix_is_harmless():
    weight = torch.ones(8, 16)
    sums = torch.empty(8)
    stream_sums_call(weight, 4, 1 << 30)(sums)
    assert (sums == 16).all()
