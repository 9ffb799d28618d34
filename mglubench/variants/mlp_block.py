"""The whole feed-forward block of any variant: its layer, and a down projection by torch's library behind it."""

from __future__ import annotations

from collections.abc import Mapping

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import CEILINGS, LAYER, SAME
from mglubench.layer.block import declare_block, layer_case
from mglubench.layer.declared import Ledger
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

_SAID = (
    *("name", "summary", "layer", "backend", "devices", "dtypes", "formats", "activations"),
    *("nm_max", "batch_max", "default", "method", "nan_for_infinity"),
)


def in_block(variant: Variant, case: Case) -> Variant:
    """What computes a case of this variant: itself, or the whole block around it."""
    return variant if case.block == LAYER else MLPBlock(variant)


class MLPBlock(Variant):
    """A variant with the down projection behind it; ``method`` is that of the layer."""

    def __init__(self, inner: Variant) -> None:
        vars(self).update({name: getattr(inner, name) for name in _SAID})
        self._inner = inner

    def method_of(self, case: Case) -> str:
        """Of the layer."""
        return self._inner.method_of(layer_case(case))

    def accepted_nm(self, device_kind: str) -> tuple[int, ...]:
        """Those of the layer."""
        return self._inner.accepted_nm(device_kind)

    def why_unavailable(self, device: str) -> str | None:
        """Where the layer cannot run."""
        return self._inner.why_unavailable(device)

    def why_refused(self, case: Case) -> str | None:
        """What the layer refuses, and what is no block."""
        if self.layer in CEILINGS:
            return "it computes no layer that a down projection could follow"
        if case.weights != SAME:
            return f"a down projection has no weights in {case.weights}; leave --weights or --block out"
        return self._inner.why_refused(layer_case(case))

    def declare(self, case: Case) -> Ledger:
        """The layer's, and the down projection's."""
        return declare_block(self._inner.declare(layer_case(case)), case)

    def resident_bytes(self, case: Case) -> int:
        """The layer's, the down projection, and what lies between them."""
        between = case.batch * case.d * case.itemsize
        return self._inner.resident_bytes(layer_case(case)) + case.elements * case.itemsize + between

    def common_bytes(self, case: Case) -> Mapping[str, int]:
        """The layer's."""
        return self._inner.common_bytes(layer_case(case))

    def prepare(self, problem: Problem) -> Launch:
        """The layer writes into a buffer of its own, which the product reads."""
        import torch

        case, y, down = layer_case(problem.case), problem.y, problem.weight_down.T
        between = torch.full((case.batch, case.d), float("nan"), dtype=y.dtype, device=y.device)
        layer = self._inner.prepare(Problem(case, problem.inputs, problem.weight, problem.x, between, problem.copy))

        def launch() -> None:
            layer()
            torch.mm(between, down, out=y)

        return launch
