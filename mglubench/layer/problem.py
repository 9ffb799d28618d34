"""The one definition of a problem: inputs from a seed, in the buffers that a variant reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import LAYER, SAME
from mglubench.layer.dense_inputs import Matrix
from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.input_set import InputSet

if TYPE_CHECKING:
    import torch


@dataclass
class Problem:
    """What a variant gets to prepare from: a case, device buffers, and the shared inputs.

    Attributes:
        weight: W, [d, h], row-major as ``nn.Linear`` stores it, on the case's device. A GLU's gate matrix. Of a format
            it is what codes and scales stand for, in fp32; those are had from :meth:`stored`.
        x: [batch, h]; read by the launch; its content is replaced between launches, its address is not.
        y: [batch, d], or [batch, h] of a whole block; written by the launch; poisoned with NaN before every check.
        copy: 0, or the number of this replica, whose matrices and masks have addresses of their own.
    """

    case: Case
    inputs: InputSet
    weight: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    copy: int = 0

    @classmethod
    def make(cls, case: Case, inputs: InputSet, offset: int = 0) -> Problem:
        """Move the inputs to the case's device; x and y start ``offset`` elements into their memory."""
        import torch

        def buffer(columns: int) -> torch.Tensor:
            memory = torch.empty(case.batch * columns + offset, dtype=inputs.dtype, device=case.device)
            return memory[offset:].view(case.batch, columns)

        weight = inputs.weight.to(case.device)
        x, y = buffer(case.h), buffer(case.outputs)
        problem = cls(case, inputs, weight, x, y)
        problem.load(0)
        return problem

    def replica(self, number: int = 1) -> Problem:
        """The same problem over buffers of its own, for modes that rotate buffers; on a CPU cases share W's copies.

        W is as it was given, whatever became of this problem's.
        """
        on_host = self.case.device_kind == "cpu"
        inputs = self.inputs
        if self.case.weights != SAME:
            return Problem(self.case, inputs, self.weight, self.x.clone(), self.y.clone(), number)
        weight = inputs.dense.copy_of("weight", number) if on_host else inputs.weight.to(self.case.device, copy=True)
        return Problem(self.case, inputs, weight, self.x.clone(), self.y.clone(), number)

    @property
    def weight_value(self) -> torch.Tensor:
        """Wv of a GLU, [d, h], on the case's device."""
        return self._further("weight_value")

    @property
    def weight_down(self) -> torch.Tensor:
        """Wd of a whole block, [h, d], on the case's device."""
        return self._further("weight_down")

    def _further(self, matrix: Literal["weight_value", "weight_down"]) -> torch.Tensor:
        dense = self.inputs.dense
        own = self.copy and self.case.device_kind == "cpu"
        found: torch.Tensor = dense.copy_of(matrix, self.copy) if own else getattr(dense, matrix)
        return found.to(self.case.device)

    def stored(self, matrix: Matrix = "weight") -> Quantised:
        """Codes and scales of W or Wv on the host, where weights have a format: a copy of the caller's own."""
        return self.inputs.dense.stored(matrix)

    def masks(self) -> npt.NDArray[np.bool_]:
        """Boolean masks [nm, d, h] on the host, for packing."""
        return self.inputs.masks(self.case.nm)

    def mask_tensor(self, i: int) -> torch.Tensor:
        """Mask i as a boolean tensor [d, h] on the case's device."""
        import torch

        mask = torch.from_numpy(self.inputs.mask(i))
        return mask.to(self.case.device, copy=bool(self.copy))

    def in_common(self, name: str, fill: Callable[[torch.Tensor], object]) -> torch.Tensor:
        """A matrix [d, h] that follows from W and the masks, in W's dtype; on a CPU cases of a setting have one.

        Args:
            name: says what it holds. fill: writes all of it; afterwards it can only be read.
        """
        import torch

        if self.case.device_kind == "cpu":
            return self.inputs.in_common(name, self.copy, fill)
        made = torch.empty_like(self.weight)
        fill(made)
        return made

    def mask_as_weight(self, i: int) -> torch.Tensor:
        """Mask i in W's dtype, ones and zeros [d, h], in common."""
        return self.in_common(f"mask {i}", lambda out: out.copy_(self.mask_tensor(i)))

    def load(self, fresh: int) -> None:
        """Copy the fresh-th x into place and poison y."""
        self.x.copy_(self.inputs.x(fresh))
        self.y.fill_(float("nan"))


def host_bytes(case: Case) -> int:
    """Host memory that the shared inputs take: weights and byte masks, each twice (what variants get, and what results
    are judged by), references.
    """
    # Of a format, what codes stand for is fp32, and codes take a byte each.
    weights = 4 * case.itemsize if case.weights == SAME else 4 * 4 + 2
    weights += 0 if case.block == LAYER else 2 * case.itemsize
    return case.elements * (weights + 2 * case.nm) + 64 * case.d * case.batch * (case.nm + 2)
