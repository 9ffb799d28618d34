"""The layers through ``torch.compile``: what a user gets from the compiler without writing a kernel."""

from __future__ import annotations

import itertools
import os
import shutil
from types import FunctionType
from typing import TYPE_CHECKING, cast

from mglubench.cases.case import Case
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant
from mglubench.variants.torch_eager import activation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

# On CUDA the autotuner picks the kernels; graphs are left to the harness, whose ``graph`` mode captures every variant
# alike. On a CPU max-autotune was measured no faster than the default and costs most of a minute more to compile.
MODE = {"cpu": "default", "cuda": "max-autotune-no-cudagraphs"}


# Tokens up to which sums over rows beat products with masked copies (2048x8192, fp32: 64 tokens 270 against 554 ms, 256
# tokens as long).
MOST_TOKENS_AS_SUMS = 128

_SERIAL = itertools.count()


class _Compiled(Variant):
    """Shared by the compiled variants: availability, and how the compiler is called."""

    def __init__(self) -> None:
        self._last: tuple[Case, Callable[..., torch.Tensor]] | None = None

    def why_unavailable(self, device: str) -> str | None:
        """The CPU back end of torch.compile needs a C++ compiler."""
        compiler = os.environ.get("CXX", "g++")
        if device == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
            return f"torch.compile needs a C++ compiler and {compiler} is not on PATH; install g++"
        return super().why_unavailable(device)

    def _launch(self, layer: Callable[..., torch.Tensor], problem: Problem, *weights: torch.Tensor) -> Launch:
        """The launch of ``layer(x, *weights)``; it compiles at the first call, which is the correctness check."""
        compiled = self._compiled(layer, problem.case)
        x, y = problem.x, problem.y

        def launch() -> None:
            y.copy_(compiled(x, *weights))

        return launch

    def _compiled(self, layer: Callable[..., torch.Tensor], case: Case) -> Callable[..., torch.Tensor]:
        """``layer`` compiled for the shapes of ``case``; replicas of one case share it."""
        import torch

        if self._last is None or self._last[0] != case:
            function = cast(FunctionType, layer)
            # The compiler counts recompilations per code object and gives up after a few. A process measures many
            # shapes, so every case gets a code object of its own; a reset would throw away what was compiled before.
            function.__code__ = function.__code__.replace(co_name=f"layer_{next(_SERIAL)}")
            if case.device_kind == "cpu":
                _trust_vectors()
            compiled = torch.compile(function, mode=MODE[case.device_kind], fullgraph=True, dynamic=False)
            self._last = case, compiled
        return self._last[1]


def _trust_vectors() -> None:
    """Take the CPU's word for its vector instructions, unless the user has chosen.

    torch would start a Python in every process to try them out, one that imports torch: more than a second each.
    """
    from torch._inductor import config

    if config.cpp.vec_isa_ok is None:
        config.cpp.vec_isa_ok = True


class SwiGLUCompiled(_Compiled):
    """Two linear layers, fused as far as the compiler can."""

    name = "swiglu-compiled"
    summary = "two linear layers through torch.compile (max-autotune on CUDA)"
    layer = "glu"
    method = "projections"

    def prepare(self, problem: Problem) -> Launch:
        """Hand the layer to the compiler; it compiles at the first launch."""
        from torch.nn.functional import linear

        act = activation_of(problem.case)

        def layer(x: torch.Tensor, gate: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return act(linear(x, gate)) * linear(x, value)

        return self._launch(layer, problem, problem.weight, problem.weight_value)


class MGLUCompiled(_Compiled):
    """The MGLU formula through the compiler, in the form that it compiles best.

    On a CPU the naive form is 0.06x of a GLU: a product with a matrix is a call of a library, so both masked copies of
    W are written to memory and read again, and loops over booleans are not vectorised, which alone costs ten times the
    copies. Written as sums over the last axis, everything is one loop that reads W and masks of a byte once; of one
    token it is faster than a GLU. x W is summed once, and the value is what the gate leaves of it.
    """

    name = "mglu-compiled"
    summary = "the MGLU formula through torch.compile: sums that it fuses (CPU), products with masked copies (CUDA)"
    layer = "mglu"
    method = "projections"

    def declare(self, case: Case) -> Ledger:
        """The least that a perfect fusion would read: W once and one byte per element and mask."""
        return declare("mglu", case, mask_bytes=case.nm * case.elements)

    def resident_bytes(self, case: Case) -> int:
        """As the naive layer: the compiler may materialise every masked copy at once."""
        return case.elements * (case.itemsize + case.nm) + self.passing_bytes(case)

    def passing_bytes(self, case: Case) -> int:
        """Every masked copy, and complements."""
        return case.elements * (2 * case.itemsize + 1) * case.nm

    def prepare(self, problem: Problem) -> Launch:
        """Hand the layer to the compiler; it compiles at the first launch."""
        import torch
        from torch.nn.functional import linear

        act = activation_of(problem.case)

        def layer(x: torch.Tensor, weight: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
            total = act(linear(x, weight * masks[0])) * linear(x, weight * ~masks[0])
            for mask in masks[1:]:
                total = total + act(linear(x, weight * mask)) * linear(x, weight * ~mask)
            return total

        def sums(x: torch.Tensor, weight: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
            # [d, tokens, h]: a row of W stays in the caches for all tokens. It is never written to memory.
            products = weight.unsqueeze(1) * x.unsqueeze(0)
            both, total = products.sum(-1), torch.zeros((), dtype=x.dtype)
            for mask in masks:
                gate = (products * mask.unsqueeze(1)).sum(-1)
                total = total + act(gate) * (both - gate)
            return total.t()

        masks = [problem.mask_tensor(i) for i in range(problem.case.nm)]
        if self._as_sums(problem.case):
            masks = [mask.view(torch.uint8) for mask in masks]
            return self._launch(sums, problem, problem.weight, *masks)
        return self._launch(layer, problem, problem.weight, *masks)

    @staticmethod
    def _as_sums(case: Case) -> bool:
        return case.device_kind == "cpu" and case.batch <= MOST_TOKENS_AS_SUMS
