"""The CUDA C++ kernels of ``kernels_cuda/`` as variants: compiled for the GPU at hand, launched through ctypes.

Declared bytes are what a launch loads and stores: rows padded to 16 bytes, masks padded by their layout, W once per
group of tokens that a kernel cannot share it among, and partial sums where a kernel writes and reads them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import SAME
from mglubench.hardware.cuda_toolchain import why_cannot_build
from mglubench.kernels import cuda_catalogue as catalogue
from mglubench.kernels.cuda_call import Operands, bind
from mglubench.kernels.cuda_kernel import CODED_DTYPE, ROW_MULTIPLE, CudaKernel
from mglubench.kernels.on_device import masks_on_device, pad_columns, why_no_gpu, why_too_old
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.dense_inputs import Matrix
from mglubench.layer.formats.tiles import matrix_tile_bytes, tiles_of
from mglubench.layer.formats.weight_formats import format_of
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch


class CudaVariant(Variant):
    """A kernel library.

    Attributes:
        kernel: what it runs, with all that is to know about it.
    """

    backend = "cuda"
    devices = ("cuda",)
    dtypes = CudaKernel.dtypes
    batch_max = CudaKernel.tokens_max

    kernel: ClassVar[CudaKernel]

    def __init__(self) -> None:
        self._workspace: dict[Case, int] = {}

    def why_unavailable(self, device: str) -> str | None:
        """Needs a GPU, and nvcc with a host compiler."""
        return super().why_unavailable(device) or why_no_gpu(self.kernel.oldest) or why_cannot_build()

    def why_unsupported(self, case: Case) -> str | None:
        """Codes meet x in fp16; some formats need a newer GPU than the rest."""
        if case.weights != SAME and case.dtype != CODED_DTYPE:
            return f"weights {case.weights} are computed with in {CODED_DTYPE}, x is {case.dtype}"
        oldest = self.kernel.oldest_for(case.stored)
        newer = why_too_old(oldest) if oldest > self.kernel.oldest else None
        return super().why_unsupported(case) or newer

    def accepted_nm(self, device_kind: str) -> tuple[int, ...]:
        """What libraries exist for."""
        return self.kernel.nms if self.kernel.masked else super().accepted_nm(device_kind)

    def declare(self, case: Case) -> Ledger:
        """Padding and repeated passes included; a launch that splits k adds its partial sums once it is prepared."""
        passes = self.kernel.passes(case.nm, case.batch)
        floor = declare(self.layer, case)
        return Ledger(
            weights=passes * self.kernel.matrices * _matrix_bytes(case),
            masks=passes * self._mask_bytes(case),
            x=floor.x,
            y=floor.y,
            flops=floor.flops,
            scratch=self.scratch_bytes(case),
        )

    def scratch_bytes(self, case: Case) -> int:
        """Partial sums of a prepared launch, written and read."""
        return 2 * self._workspace.get(case, 0)

    def resident_bytes(self, case: Case) -> int:
        """Matrices (and their padded copies), packed masks, workspace."""
        copies = 1 if case.h % ROW_MULTIPLE == 0 or case.weights != SAME else 2
        matrices = copies * self.kernel.matrices * _matrix_bytes(case)
        return matrices + self._mask_bytes(case) + self.scratch_bytes(case)

    def _mask_bytes(self, case: Case) -> int:
        layout = self.kernel.layout
        return get_layout(layout).nbytes(case.nm, case.d, case.h) if layout else 0

    def prepare(self, problem: Problem) -> Launch:
        """Build or find the library, pack, pad, allocate the workspace."""
        case, kernel, device = problem.case, self.kernel, problem.weight.device
        operands = Operands(
            weight=_matrix(problem, "weight"),
            h=case.h,
            nm=case.nm,
            masks=masks_on_device(problem.inputs, case.nm, kernel.layout, device) if kernel.layout else None,
            value=_matrix(problem, "weight_value") if kernel.matrices == 2 else None,
            weights=case.weights,
            rows=case.d,
        )
        launch = bind(kernel, operands, problem.x, problem.y, case.activation)
        self._workspace[case] = launch.workspace_bytes
        return launch


class FlashMGLUPaper(CudaVariant):
    """The published kernel (arXiv 2506.23225, Algorithms 1 and 3)."""

    name = "flash-mglu-paper"
    summary = "the paper's kernel: a block per row and chunk, a mask byte per element, atomics, activation apart"
    method = "fused-difference"
    layer = "mglu"
    kernel = catalogue.PAPER

    def scratch_bytes(self, case: Case) -> int:
        """2 nm fp32 sums per row and token: added to, read, zeroed."""
        return 3 * 2 * case.nm * 4 * case.d * case.batch


class FlashMGLUPacked(CudaVariant):
    """Bit-packed masks on CUDA cores."""

    name = "flash-mglu-packed"
    summary = "bit-packed masks, one pass, fp32 sums on CUDA cores"
    method = "fused-difference"
    layer = "mglu"
    kernel = catalogue.PACKED


class FlashMGLUMma(CudaVariant):
    """Sign flips and tensor cores."""

    name = "flash-mglu-mma"
    summary = "bit-packed masks as sign flips, one pass, sums on tensor cores"
    method = "fused-flips"
    layer = "mglu"
    kernel = catalogue.MMA
    formats = (SAME, *kernel.formats)


class FlashMGLUBulk(CudaVariant):
    """The same arithmetic behind the bulk copy engine."""

    name = "flash-mglu-bulk"
    summary = "flash-mglu-mma fed through shared memory by the bulk copy engine (sm_90 and newer)"
    method = "fused-flips"
    layer = "mglu"
    kernel = catalogue.BULK


class SwiGLUFused(CudaVariant):
    """The baseline of the same make."""

    name = "swiglu-fused"
    summary = "SwiGLU in one hand-written kernel, built like flash-mglu-mma"
    method = "fused-serial"
    layer = "glu"
    nan_for_infinity = ()
    kernel = catalogue.SWIGLU
    formats = (SAME, *kernel.formats)


class StreamReadCuda(CudaVariant):
    """The bandwidth ceiling as a hand-written kernel."""

    name = "stream-read-cuda"
    summary = "reads W once with 16-byte loads and sums it by row: the ceiling that a CUDA kernel can reach"
    method = "fused"
    layer = "read"
    default = False
    kernel = catalogue.STREAM


KERNELS = (FlashMGLUPaper, FlashMGLUPacked, FlashMGLUMma, FlashMGLUBulk, SwiGLUFused, StreamReadCuda)


def _matrix_bytes(case: Case) -> int:
    """Of a matrix as the kernels read it."""
    if (form := format_of(case)) is not None:
        return matrix_tile_bytes(form, case.d, case.h)
    return case.d * round_up(case.h, ROW_MULTIPLE) * case.itemsize


def _matrix(problem: Problem, matrix: Matrix) -> torch.Tensor:
    if problem.case.weights == SAME:
        return pad_columns(getattr(problem, matrix), ROW_MULTIPLE)
    return tiles_of(problem.stored(matrix)).to(problem.x.device, copy=True)
