"""``mglu-op``: the operator that a model calls, :func:`mglubench.flash_mglu`, timed as it is shipped.

Beside the bare kernels it shows what the shipped function adds to them: its checks and looking up the kernel, on CUDA
torch's dispatch too and a new y, which is then copied to where the benchmark looks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import SAME, WEIGHTS
from mglubench.hardware.cuda_toolchain import why_cannot_build
from mglubench.kernels.cpu_choice import MGLU
from mglubench.kernels.cuda_catalogue import SHIPPED
from mglubench.kernels.on_device import masks_on_device, why_no_gpu
from mglubench.kernels.operator_backends import BACKENDS, why_no_dtype, why_no_format
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.formats.tiles import matrix_tile_bytes
from mglubench.layer.formats.weight_formats import format_of
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    from mglubench.nn.functional import PackedWeight


class MGLUOperator(Variant):
    """The shipped function."""

    name = "mglu-op"
    summary = "flash_mglu, the operator that a model calls: the kernel and all that surrounds it"
    layer = "mglu"
    method = "fused-serial-difference"
    formats = tuple(WEIGHTS)

    def method_of(self, case: Case) -> str:
        """On a CPU, that of its kernel."""
        if case.device_kind != "cpu":
            return self.method
        return f"fused-difference/{MGLU.running_sums(MGLU.job(case.h, case.d, case.nm, case.batch, case.stored))}"

    def why_unavailable(self, device: str) -> str | None:
        """On CUDA it needs what its kernels need."""
        reason = super().why_unavailable(device)
        if reason or device == "cpu":
            return reason
        return why_no_gpu(SHIPPED[0].oldest) or why_cannot_build()

    def why_unsupported(self, case: Case) -> str | None:
        """What the operator takes depends on the kind of device."""
        kind = case.device_kind
        reason = why_no_dtype(case.dtype, case.weights, kind) or why_no_format(case.weights, kind)
        return reason or super().why_unsupported(case)

    def accepted_nm(self, device_kind: str) -> tuple[int, ...]:
        """The operator's own statement."""
        return BACKENDS[device_kind].nms

    def declare(self, case: Case) -> Ledger:
        """Rows and masks with their padding, once per pass; on CUDA y is written, copied and read once more."""
        backend, floor = BACKENDS[case.device_kind], declare("mglu", case)
        passes = -(-case.batch // backend.tokens_per_pass) if backend.tokens_per_pass else 1
        weights = self._matrix_bytes(case)
        masks = get_layout(backend.layout).nbytes(case.nm, case.d, case.h)
        return Ledger(
            passes * weights,
            passes * masks,
            floor.x,
            floor.y,
            floor.flops,
            scratch=0 if case.device_kind == "cpu" else 2 * floor.y,
        )

    def resident_bytes(self, case: Case) -> int:
        """W (and its padded copy) and masks, whatever the batch."""
        backend = BACKENDS[case.device_kind]
        copies = 1 if case.weights != SAME or case.h % backend.row_multiple == 0 else 2
        masks = get_layout(backend.layout).nbytes(case.nm, case.d, case.h)
        return copies * self._matrix_bytes(case) + masks

    @staticmethod
    def _matrix_bytes(case: Case) -> int:
        """Of W, padding and scales included."""
        if (made := format_of(case)) is None:
            return case.d * round_up(case.h, BACKENDS[case.device_kind].row_multiple) * case.itemsize
        if case.device_kind == "cpu":
            return case.d * made.cpu_row_bytes(case.h)
        return matrix_tile_bytes(made, case.d, case.h)

    def prepare(self, problem: Problem) -> Launch:
        """Pack, and call once so that the kernel is compiled."""
        from mglubench.nn.functional import with_codes, with_masks

        case, device = problem.case, problem.weight.device
        layout = BACKENDS[case.device_kind].layout
        masks = masks_on_device(problem.inputs, case.nm, layout, device)
        if case.weights == SAME:
            packed = with_masks(problem.weight, masks, case.nm)
        else:
            packed = with_codes(problem.stored(), masks, case.nm, device)
        launch = launch_of(packed, problem)
        launch()
        return launch


def launch_of(packed: PackedWeight, problem: Problem) -> Launch:
    """The shipped function over ``packed``, from the problem's x to its y."""
    from mglubench.nn.functional import flash_mglu

    x, y, activation = problem.x, problem.y, problem.case.activation

    def launch() -> None:
        flash_mglu(x, packed, activation, out=y)

    return launch
