"""The CUDA C++ kernels of ``kernels_cuda/`` as variants: compiled for the GPU at hand, launched through ctypes.

Declared bytes are what a launch loads and stores: rows padded to 16 bytes, masks padded by their layout, W once per
group of tokens that a kernel cannot share it among, and partial sums where a kernel writes and reads them again.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mglubench.cases.case import Case
from mglubench.hardware.cuda_toolchain import why_cannot_build
from mglubench.kernels.cuda_build import Target, build
from mglubench.kernels.cuda_heuristics import WARPS, Gpu, choose, dynamic_shared_bytes
from mglubench.kernels.cuda_library import ACTIVATION_CODES, BoundKernel, MgluArgs, load
from mglubench.kernels.inspection import Block, Inspectable
from mglubench.kernels.on_device import gpu_of, masks_on_device, pad_columns, why_no_gpu
from mglubench.kernels.sass import Work
from mglubench.kernels.tuning import Choice, Job
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

ROW_MULTIPLE = 8  # elements, 16 bytes


class CudaKernel(Variant, Inspectable):
    """A kernel library.

    Attributes:
        kernel: its source file without ``.cu``. layout: of its masks, empty without. entry: the kernel that does the
            work, as ``mglubench inspect`` names it. matrices: weight matrices. oldest: ten times the least compute
            capability. tokens_per_pass: tokens that share one pass over W.
    """

    backend = "cuda"
    devices = ("cuda",)
    dtypes = ("float16", "bfloat16")
    batch_max = 16

    kernel: ClassVar[str]
    layout: ClassVar[str] = ""
    matrices: ClassVar[int] = 1
    oldest: ClassVar[int] = 80
    tokens_per_pass: ClassVar[int] = 16

    def __init__(self) -> None:
        self._workspace: dict[Case, int] = {}

    def why_unavailable(self, device: str) -> str | None:
        """Needs a GPU, and nvcc with a host compiler."""
        return super().why_unavailable(device) or why_no_gpu(self.oldest) or why_cannot_build()

    def why_unsupported(self, case: Case) -> str | None:
        """Libraries exist for nm 1 to 8 and 16."""
        if 8 < case.nm < 16:
            return f"nm={case.nm} is not among 1 to 8 and 16"
        return super().why_unsupported(case)

    def declare(self, case: Case) -> Ledger:
        """Padding and repeated passes included; a launch that splits k adds its partial sums once it is prepared."""
        passes = -(-case.batch // self.tokens_per_pass)
        floor = declare(self.layer, case)
        masks = get_layout(self.layout).nbytes(case.nm, case.d, case.h) if self.layout else 0
        return Ledger(
            weights=passes * self.matrices * _padded_matrix(case),
            masks=passes * masks,
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
        copies = 1 if case.h % ROW_MULTIPLE == 0 else 2
        masks = get_layout(self.layout).nbytes(case.nm, case.d, case.h) if self.layout else 0
        return copies * self.matrices * _padded_matrix(case) + masks + self.scratch_bytes(case)

    def prepare(self, problem: Problem) -> Launch:
        """Build or find the library, pack, pad, allocate the workspace."""
        case = problem.case
        gpu = gpu_of(problem.weight.device)
        choice = choose(job_of(self, case), gpu)
        library = load(build(self.target(gpu.arch, case.nm, case.dtype, choice)))
        weight = pad_columns(problem.weight, ROW_MULTIPLE)
        value = pad_columns(problem.weight_value, ROW_MULTIPLE) if self.matrices == 2 else None
        masks = masks_on_device(problem, self.layout) if self.layout else None
        args = MgluArgs(
            w=weight.data_ptr(),
            w2=None if value is None else value.data_ptr(),
            masks=None if masks is None else masks.data_ptr(),
            x=problem.x.data_ptr(),
            y=problem.y.data_ptr(),
            h=case.h,
            d=case.d,
            nm=case.nm,
            batch=case.batch,
            w_row_stride=weight.shape[1],
            activation=ACTIVATION_CODES[case.activation],
            split_k=choice.split_k,
            sm_count=gpu.sm_count,
        )
        self._workspace[case] = library.workspace_bytes(args)
        return BoundKernel(library, args, (weight, value, masks, problem.x, problem.y))

    def target(self, arch: str, nm: int, dtype: str, choice: Choice) -> Target:
        """What to compile."""
        return Target(self.kernel, nm if self.layer == "mglu" else 0, dtype, arch, choice.macros)

    def usual_choice(self, arch: str, nm: int) -> Choice:
        """What a large layer is launched with on an untuned GPU of this architecture."""
        return choose(Job(self.kernel, 4096, 14336, nm, 1, "float16"), Gpu("", arch, 0))

    def artifact(self, arch: str, nm: int, dtype: str) -> Path:
        """The library of the usual choice."""
        return build(self.target(arch, nm, dtype, self.usual_choice(arch, nm)))

    def block(self, arch: str, nm: int) -> Block:
        """Of the usual choice."""
        choice = self.usual_choice(arch, nm)
        return Block(32 * choice.get("WARPS", WARPS), dynamic_shared_bytes(self.kernel, nm, choice))


class FlashMGLUPaper(CudaKernel):
    """The published kernel (arXiv 2506.23225, Algorithms 1 and 3)."""

    name = "flash-mglu-paper"
    summary = "the paper's kernel: a mask byte per element, split-K with atomics, activation in a second kernel"
    layer = "mglu"
    kernel = "flash_mglu_paper"
    layout = "bytes"
    entry = "flash_mglu_paper_sums<1>"
    tokens_per_pass = 1

    def scratch_bytes(self, case: Case) -> int:
        """2 nm fp32 sums per row and token: added to, read, zeroed."""
        return 3 * 2 * case.nm * 4 * case.d * case.batch

    def work(self, nm: int) -> Work:
        """Each pair of elements is three loads: weights, x, masks."""
        return Work("LDG", 64 / 3)


class FlashMGLUPacked(CudaKernel):
    """Bit-packed masks on CUDA cores."""

    name = "flash-mglu-packed"
    summary = "bit-packed masks, one pass, fp32 sums on CUDA cores"
    layer = "mglu"
    kernel = "flash_mglu_packed"
    layout = "row-1024"
    entry = "flash_mglu_packed<1,1>"
    tokens_per_pass = 2

    def work(self, nm: int) -> Work:
        """Each element is multiplied once."""
        return Work("FMUL", 32)


class FlashMGLUMma(CudaKernel):
    """Sign flips and tensor cores."""

    name = "flash-mglu-mma"
    summary = "bit-packed masks as sign flips, one pass, sums on tensor cores"
    layer = "mglu"
    kernel = "flash_mglu_mma"
    layout = "mma-16x64"
    entry = "flash_mglu_mma<1,1>"

    def work(self, nm: int) -> Work:
        """Each 16 x 16 tile enters nm + 1 multiplications."""
        return Work("HMMA", 256 / (nm + 1))


class FlashMGLUBulk(FlashMGLUMma):
    """The same arithmetic behind the bulk copy engine."""

    name = "flash-mglu-bulk"
    summary = "flash-mglu-mma fed through shared memory by the bulk copy engine (sm_90 and newer)"
    kernel = "flash_mglu_bulk"
    entry = "flash_mglu_bulk<1,1>"
    oldest = 90


class SwiGLUFused(CudaKernel):
    """The baseline of the same make."""

    name = "swiglu-fused"
    summary = "SwiGLU in one hand-written kernel, built like flash-mglu-mma"
    layer = "glu"
    kernel = "swiglu_fused"
    matrices = 2
    entry = "swiglu_fused<1,1>"

    def work(self, nm: int) -> Work:
        """Each element of either matrix enters one multiplication."""
        return Work("HMMA", 256)


class StreamReadCuda(CudaKernel):
    """The bandwidth ceiling as a hand-written kernel."""

    name = "stream-read-cuda"
    summary = "reads W once with 16-byte loads and sums it by row: the ceiling that a CUDA kernel can reach"
    layer = "read"
    default = False
    kernel = "stream_read"
    entry = "stream_read"

    def work(self, nm: int) -> Work:
        """Every load brings 16 bytes of weights per lane."""
        return Work("LDG", 256)


KERNELS = (FlashMGLUPaper, FlashMGLUPacked, FlashMGLUMma, FlashMGLUBulk, SwiGLUFused, StreamReadCuda)


def job_of(variant: CudaKernel, case: Case) -> Job:
    """What the launch choice for a case depends on."""
    return Job(variant.kernel, case.h, case.d, case.nm, case.batch, case.dtype)


def _padded_matrix(case: Case) -> int:
    return case.d * round_up(case.h, ROW_MULTIPLE) * case.itemsize
