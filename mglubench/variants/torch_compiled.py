"""The layers through ``torch.compile``: what a user gets from the compiler without writing a kernel."""

from __future__ import annotations

import itertools
import os
import shutil
from types import FunctionType
from typing import TYPE_CHECKING, cast

from mglubench.spec.case import Case
from mglubench.spec.ledger import Ledger, declare
from mglubench.spec.problem import Problem
from mglubench.variants.base import Launch, Variant
from mglubench.variants.torch_eager import activation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

# On CUDA the autotuner picks the kernels; graphs are left to the harness, whose ``graph`` mode captures every variant
# alike. On a CPU max-autotune was measured no faster than the default and costs most of a minute more to compile.
MODE = {"cpu": "default", "cuda": "max-autotune-no-cudagraphs"}


_SERIAL = itertools.count()


class _Compiled(Variant):
    """Shared by the compiled variants: availability, and how the compiler is called."""

    def unavailable(self, device: str) -> str | None:
        """The CPU back end of torch.compile needs a C++ compiler."""
        compiler = os.environ.get("CXX", "g++")
        if device == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
            return f"torch.compile needs a C++ compiler and {compiler} is not on PATH; install g++"
        return super().unavailable(device)

    def _compile(self, layer: Callable[[], torch.Tensor], problem: Problem) -> Launch:
        import torch

        function = cast(FunctionType, layer)
        # The compiler counts recompilations per code object and gives up after a few. A process measures many shapes,
        # so every layer gets a code object of its own; a reset would throw away the layers compiled before it.
        function.__code__ = function.__code__.replace(co_name=f"layer_{next(_SERIAL)}")
        compiled = torch.compile(function, mode=MODE[problem.case.device_kind], fullgraph=True, dynamic=False)
        y = problem.y

        def launch() -> None:
            y.copy_(compiled())

        # torch compiles at the first call, which is the harness's correctness check, before anything is timed.
        return launch


class SwiGLUCompiled(_Compiled):
    """Two linear layers, fused as far as the compiler can."""

    name = "swiglu-compiled"
    summary = "two linear layers through torch.compile (max-autotune on CUDA)"
    layer = "glu"

    def prepare(self, problem: Problem) -> Launch:
        """Hand the layer to the compiler; it compiles at the first launch."""
        from torch.nn.functional import linear

        act, x = activation_of(problem.case), problem.x
        gate, value = problem.weight, problem.weight_value
        return self._compile(lambda: act(linear(x, gate)) * linear(x, value), problem)


class MGLUCompiled(_Compiled):
    """The naive MGLU formula through the compiler."""

    name = "mglu-compiled"
    summary = "the naive MGLU formula through torch.compile (max-autotune on CUDA)"
    layer = "mglu"

    def declare(self, case: Case) -> Ledger:
        """The least that a perfect fusion would read: W once and one byte per element and mask."""
        return declare("mglu", case, mask_bytes=case.nm * case.elements)

    def resident_bytes(self, case: Case) -> int:
        """As the naive layer: the compiler may materialise every masked copy at once."""
        return case.elements * (case.itemsize * (1 + 2 * case.nm) + 2 * case.nm)

    def prepare(self, problem: Problem) -> Launch:
        """Hand the layer to the compiler; it compiles at the first launch."""
        from torch.nn.functional import linear

        act, weight, x = activation_of(problem.case), problem.weight, problem.x
        masks = [problem.mask_tensor(i) for i in range(problem.case.nm)]

        def layer() -> torch.Tensor:
            total = act(linear(x, weight * masks[0])) * linear(x, weight * ~masks[0])
            for mask in masks[1:]:
                total = total + act(linear(x, weight * mask)) * linear(x, weight * ~mask)
            return total

        return self._compile(layer, problem)
