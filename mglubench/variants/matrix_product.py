"""``matrix-product``: a large product through torch's library; what this device's arithmetic can give.

In half precision that is what its tensor cores reach, in single precision (torch's default, no TF32) its CUDA cores. It
is the ceiling that the flat part of a roofline is drawn from.
"""

from __future__ import annotations

from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant


class MatrixProduct(Variant):
    """The arithmetic ceiling."""

    name = "matrix-product"
    summary = "a matrix product of many tokens through torch: the measured arithmetic ceiling of the device"
    layer = "product"
    method = "steps"
    default = False
    batch_max = 1 << 13

    def prepare(self, problem: Problem) -> Launch:
        """y = x W^T."""
        import torch

        x, transposed, y = problem.x, problem.weight.t(), problem.y

        def launch() -> None:
            torch.mm(x, transposed, out=y)

        return launch
