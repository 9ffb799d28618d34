"""The layers in plain torch, as a user would write them; the baselines of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch


def activation_of(case: Case) -> Callable[[torch.Tensor], torch.Tensor]:
    """torch's function for the case's activation (gelu in its exact form)."""
    import torch

    function: Callable[[torch.Tensor], torch.Tensor] = getattr(torch.nn.functional, case.activation)
    return function


class LinearUnit(Variant):
    """A layer without a gate: the least that any feed-forward layer of this shape can read."""

    name = "lu"
    summary = "one linear layer and the activation, no gate"
    layer = "lu"
    method = "steps"

    def prepare(self, problem: Problem) -> Launch:
        """y = g(x W^T)."""
        from torch.nn.functional import linear

        act, weight, x, y = activation_of(problem.case), problem.weight, problem.x, problem.y

        def launch() -> None:
            y.copy_(act(linear(x, weight)))

        return launch


class SwiGLU(Variant):
    """The gated layer as most models write it."""

    name = "swiglu"
    summary = "two linear layers, gate and value (SwiGLU, GEGLU or ReGLU by --activation)"
    layer = "glu"
    method = "steps"

    def prepare(self, problem: Problem) -> Launch:
        """y = g(x Wg^T) * (x Wv^T), two products."""
        import torch
        from torch.nn.functional import linear

        act, x, y = activation_of(problem.case), problem.x, problem.y
        gate, value = problem.weight, problem.weight_value

        def launch() -> None:
            torch.mul(act(linear(x, gate)), linear(x, value), out=y)

        return launch


class SwiGLUMerged(Variant):
    """The gated layer as serving engines write it."""

    name = "swiglu-merged"
    summary = "one linear layer over the stacked gate and value weights"
    layer = "glu"
    method = "steps"

    def prepare(self, problem: Problem) -> Launch:
        """y = g(a) * b with [a, b] = x [Wg; Wv]^T."""
        import torch
        from torch.nn.functional import linear

        act, x, y, d = activation_of(problem.case), problem.x, problem.y, problem.case.d
        merged = torch.cat([problem.weight, problem.weight_value])

        def launch() -> None:
            both = linear(x, merged)
            torch.mul(act(both[:, :d]), both[:, d:], out=y)

        return launch


class MGLUNaive(Variant):
    """The paper's Algorithm 2 (arXiv 2506.23225) with boolean masks: masked copies of W are made at every call."""

    name = "mglu-naive"
    summary = "Algorithm 2 with boolean masks: weight * mask made at every call, 2 nm linear layers"
    layer = "mglu"
    method = "steps"

    def declare(self, case: Case) -> Ledger:
        """2 nm times: read W and a byte mask, write the masked copy, read it; nm complements are written as well."""
        matrix = case.elements * case.itemsize
        masks = case.nm * case.elements * (1 + 1 + 1 + 1)
        ledger = declare("mglu", case, mask_bytes=masks, scratch=2 * case.nm * 2 * matrix)
        return Ledger(2 * case.nm * matrix, ledger.masks, ledger.x, ledger.y, ledger.flops, ledger.scratch)

    def resident_bytes(self, case: Case) -> int:
        """W, a byte per element and mask, one complement, two masked copies."""
        return case.elements * (case.itemsize + case.nm) + self.passing_bytes(case)

    def passing_bytes(self, case: Case) -> int:
        """Two masked copies and a complement."""
        return case.elements * (2 * case.itemsize + 1)

    def prepare(self, problem: Problem) -> Launch:
        """Masks are boolean tensors, one byte per element, as torch stores them."""
        from torch.nn.functional import linear

        act, weight, x, y = activation_of(problem.case), problem.weight, problem.x, problem.y
        masks = [problem.mask_tensor(i) for i in range(problem.case.nm)]

        def launch() -> None:
            total = act(linear(x, weight * masks[0])) * linear(x, weight * ~masks[0])
            for mask in masks[1:]:
                total += act(linear(x, weight * mask)) * linear(x, weight * ~mask)
            y.copy_(total)

        return launch


class MGLUNaiveFloat(Variant):
    """The paper's Algorithm 2 (arXiv 2506.23225) as printed: floating-point masks, 1 - M made each time."""

    name = "mglu-naive-float"
    summary = "Algorithm 2 as printed: masks in the weight's dtype, W * M and W * (1 - M) made at every call"
    layer = "mglu"
    method = "steps"

    def declare(self, case: Case) -> Ledger:
        """2 nm times: read W and a mask, write the masked copy, read it; nm complements are written as well."""
        matrix = case.elements * case.itemsize
        ledger = declare("mglu", case, mask_bytes=4 * case.nm * matrix, scratch=2 * case.nm * 2 * matrix)
        return Ledger(2 * case.nm * matrix, ledger.masks, ledger.x, ledger.y, ledger.flops, ledger.scratch)

    def resident_bytes(self, case: Case) -> int:
        """W, nm masks, one complement, two masked copies."""
        return case.elements * case.itemsize * (case.nm + 1) + self.passing_bytes(case)

    def passing_bytes(self, case: Case) -> int:
        """Two masked copies and a complement."""
        return case.elements * case.itemsize * 3

    def common_bytes(self, case: Case) -> Mapping[str, int]:
        """The masks."""
        return {"masks": case.nm * case.elements * case.itemsize}

    def prepare(self, problem: Problem) -> Launch:
        """Masks take as many bytes as W."""
        from torch.nn.functional import linear

        act, weight, x, y = activation_of(problem.case), problem.weight, problem.x, problem.y
        masks = [problem.mask_as_weight(i) for i in range(problem.case.nm)]

        def launch() -> None:
            total = act(linear(x, weight * masks[0])) * linear(x, weight * (1 - masks[0]))
            for mask in masks[1:]:
                total += act(linear(x, weight * mask)) * linear(x, weight * (1 - mask))
            y.copy_(total)

        return launch


class MGLUNaiveComplement(Variant):
    """The least that plain torch needs: one masked copy per mask, the value is what the gate leaves of x W.

    Masks are kept in the form whose product with W is quicker: booleans on CUDA, where a byte less is read, W's dtype
    on a CPU, where torch does not vectorise the product of floats and booleans (1.5 times as long).
    """

    name = "mglu-naive-complement"
    summary = "one masked copy of W per mask made at every call, value = x W - gate: nm + 1 linear layers"
    layer = "mglu"
    method = "steps-difference"

    def declare(self, case: Case) -> Ledger:
        """W once for x W; nm times: read W and a mask, write the masked copy, read it."""
        matrix = case.elements * case.itemsize
        masks = case.nm * case.elements * self._mask_bytes(case)
        ledger = declare("mglu", case, mask_bytes=masks, scratch=case.nm * 2 * matrix)
        return Ledger((case.nm + 1) * matrix, ledger.masks, ledger.x, ledger.y, ledger.flops, ledger.scratch)

    def resident_bytes(self, case: Case) -> int:
        """W, nm masks, one masked copy."""
        return case.elements * (case.itemsize + case.nm * self._mask_bytes(case)) + self.passing_bytes(case)

    def passing_bytes(self, case: Case) -> int:
        """One masked copy."""
        return case.elements * case.itemsize

    def common_bytes(self, case: Case) -> Mapping[str, int]:
        """The masks."""
        return {"masks": case.nm * case.elements * self._mask_bytes(case)}

    def prepare(self, problem: Problem) -> Launch:
        """The product x W is shared by all masks."""
        from torch.nn.functional import linear

        case, weight, x, y = problem.case, problem.weight, problem.x, problem.y
        act = activation_of(case)
        mask_of = problem.mask_as_weight if case.device_kind == "cpu" else problem.mask_tensor
        masks = [mask_of(i) for i in range(case.nm)]

        def launch() -> None:
            both = linear(x, weight)
            gate = linear(x, weight * masks[0])
            total = act(gate) * (both - gate)
            for mask in masks[1:]:
                gate = linear(x, weight * mask)
                total += act(gate) * (both - gate)
            y.copy_(total)

        return launch

    @staticmethod
    def _mask_bytes(case: Case) -> int:
        return case.itemsize if case.device_kind == "cpu" else 1


class MGLUPremasked(Variant):
    """The naive layer with its masked copies made once: fast to write, 2 nm matrices to keep and to read."""

    name = "mglu-premasked"
    summary = "2 nm masked copies of W made once and kept, 2 nm linear layers"
    layer = "mglu"
    method = "steps"

    def declare(self, case: Case) -> Ledger:
        """2 nm matrices, no masks."""
        ledger = declare("mglu", case, mask_bytes=0)
        return Ledger(2 * case.nm * ledger.weights, 0, ledger.x, ledger.y, ledger.flops)

    def prepare(self, problem: Problem) -> Launch:
        """The masking is outside the launch."""
        from torch.nn.functional import linear

        act, x, y = activation_of(problem.case), problem.x, problem.y
        pairs = [self._halves(problem, i) for i in range(problem.case.nm)]

        def launch() -> None:
            total = act(linear(x, pairs[0][0])) * linear(x, pairs[0][1])
            for gate, value in pairs[1:]:
                total += act(linear(x, gate)) * linear(x, value)
            y.copy_(total)

        return launch

    @staticmethod
    def _halves(problem: Problem, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        """W where mask i is one, and the rest of W, which is exactly the other half."""
        import torch

        # A product of floats and booleans would take twice as long.
        gate = problem.in_common(f"gate {i}", lambda out: out.copy_(problem.mask_tensor(i)).mul_(problem.weight))
        return gate, problem.in_common(f"value {i}", lambda out: torch.sub(problem.weight, gate, out=out))

    def common_bytes(self, case: Case) -> Mapping[str, int]:
        """The copies."""
        return {"halves": self.resident_bytes(case)}
