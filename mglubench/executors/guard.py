"""Inputs twice: what variants are given, and what results are judged by, which no variant is given.

On a CPU the cases of a setting share one W and one set of masks, so a variant that writes to them would spoil its own
reference and its neighbours' inputs. What is given is therefore compared byte by byte with what it was made from, as
fast as memory is read, and put right where it differs. On CUDA every case has a copy of its own on the device; the host
side is guarded all the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.layer.dense_inputs import DenseInputs
from mglubench.layer.drawing import read_only
from mglubench.layer.input_set import InputSet
from mglubench.system.limits import affinity
from mglubench.system.sealed import equal_bytes
from mglubench.system.shelf import Shelf

if TYPE_CHECKING:
    import torch

# Bytes that one thread compares at a time.
_PIECE = 8 << 20
_DENSE = {"weight": "weight", "weight_value": "weight_value", "weight_down": "weight_down", "tokens_drawn": "inputs.x"}


class GuardedDense:
    """Weights and x of one setting: sealed ones, and the ones that are given away."""

    def __init__(self, case: Case, *, non_finite: bool = False, shelf: Shelf | None = None) -> None:
        self.judge = DenseInputs(case, sealed=True, non_finite=non_finite, shelf=shelf)
        self.given = DenseInputs(case, self.judge)


class GuardedInputs:
    """Inputs of one setting and mask distribution.

    Attributes:
        given: what problems are made from. judge: what references are computed from and outputs compared with.
    """

    def __init__(self, case: Case, dense: GuardedDense) -> None:
        self.judge = InputSet(case, dense.judge)
        self.given = InputSet(case, dense.given, self.judge)
        self._kept: dict[str, _Kept] = {}

    def changes(self) -> list[str]:
        """What was done to the given inputs since the last look, in words, by name; they are put right again.

        The copies of W that launches take turns over are looked at only where something was done: who writes to one
        writes to the first as well, and reading all of them would take longer than the rest of a check.
        """
        found = []
        for name, given, judge in self._pairs():
            kept = self._kept.setdefault(name, _Kept.of(given))
            if words := kept.mend(given, judge):
                found.append(f"{words[0]} {name}{words[1]}")
        if found:
            for matrix, copy in self.given.dense.copies():
                _Kept.of(copy).mend(copy, getattr(self.judge.dense, matrix))
        return found

    def _pairs(self) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
        """Name, given and true tensor of everything that was made so far."""
        import torch

        dense, pairs = self.given.dense, []
        for attribute, name in _DENSE.items():
            if attribute in vars(dense):
                pairs.append((name, getattr(dense, attribute), getattr(self.judge.dense, attribute)))
        for i, mask in enumerate(self.given.masks_made):
            pairs.append((f"mask {i}", torch.from_numpy(mask), read_only(self.judge.mask(i))))
        return pairs


@dataclass(frozen=True)
class _Kept:
    """A given tensor as it was made: a second view of its memory, which outlives what is done to the first."""

    view: torch.Tensor

    @classmethod
    def of(cls, tensor: torch.Tensor) -> _Kept:
        return cls(tensor.detach())

    def mend(self, given: torch.Tensor, judge: torch.Tensor) -> tuple[str, str] | None:
        """What was done (a verb, and how much of it), or ``None``."""
        moved = _place(given) != _place(self.view)
        if moved:
            given.data = self.view
        wants_gradient = given.requires_grad
        if wants_gradient:
            given.requires_grad_(False)
        if not same(self.view, judge):
            count = count_differing(self.view, judge)
            self.view.copy_(judge)
            return "changed", f", {count} element{'s' if count > 1 else ''}"
        if moved:
            return "replaced", ""
        return ("asked for gradients of", "") if wants_gradient else None


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def same(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two contiguous host tensors of one shape hold the same bytes."""
    size = one.numel() * one.element_size()
    starts = range(0, size, _PIECE)

    def equal(start: int) -> bool:
        return equal_bytes(one.data_ptr() + start, two.data_ptr() + start, min(_PIECE, size - start))

    if len(starts) <= 1:
        return equal(0)
    with ThreadPoolExecutor(affinity()) as pool:
        return all(pool.map(equal, starts))


def count_differing(one: torch.Tensor, two: torch.Tensor) -> int:
    """Elements that differ in any bit."""
    import torch

    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    return int((one.contiguous().view(bits) != two.contiguous().view(bits)).sum())
