"""The kernels of ``kernels_cuda/``, a class each; the variants, the operator and the tools refer to them."""

from __future__ import annotations

from collections.abc import Iterable

from mglubench.kernels.cuda_kernel import WARPS, CudaKernel, reduction_bytes
from mglubench.kernels.occupancy import limits_of
from mglubench.kernels.sass import Work
from mglubench.kernels.tuning import Choice, Gpu, Job, grid


class PaperKernel(CudaKernel):
    """The published kernel (arXiv 2506.23225, Algorithms 1 and 3): byte masks, split-K with atomics.

    Neither block size nor split are published: the best of a search counts as the paper's.
    """

    source = "flash_mglu_paper"
    layout = "bytes"
    entry = "flash_mglu_paper_sums<1>"
    tokens_per_pass = 1

    def tried(self) -> Iterable[Choice]:
        """Blocks of 32 to 512 threads, a row in one chunk or up to 16."""
        return grid((1, 2, 4, 8, 16), WARPS=(1, 2, 4, 8, 16))

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """A sum per warp, for nm gates and the total."""
        return 4 * choice.get("WARPS", WARPS) * (nm + 1)

    def work(self, nm: int) -> Work:
        """Each pair of elements is four loads: weights, x, two masks."""
        return Work("LDG", 64 / 4)


class PackedKernel(CudaKernel):
    """Bit-packed masks on CUDA cores."""

    source = "flash_mglu_packed"
    layout = "row-1024"
    entry = "flash_mglu_packed<1,1>"
    tokens_per_pass = 2

    def rule(self, job: Job, chip: Gpu) -> Choice:
        """One row per warp where two would leave multiprocessors without a block."""
        blocks = job.d // (WARPS * 2)
        return Choice.of(ROWS=1) if job.nm <= 8 and blocks < chip.sm_count else Choice()

    def tried(self) -> Iterable[Choice]:
        """Warps, rows per warp, bytes per L2 fetch."""
        return grid((0,), WARPS=(2, 4, 8), ROWS=(1, 2), L2_PREFETCH=(128, 256))

    def work(self, nm: int) -> Work:
        """Each element is multiplied once."""
        return Work("FMUL", 32)


class MmaKernel(CudaKernel):
    """Sign flips and tensor cores."""

    source = "flash_mglu_mma"
    layout = "mma-16x64"
    entry = "flash_mglu_mma<1,1>"

    def tried(self) -> Iterable[Choice]:
        """Those of the tiled kernels."""
        return tiled()

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """The sums of nm gates and a total."""
        return reduction_bytes(choice, nm + 1)

    def work(self, nm: int) -> Work:
        """Each 16 x 16 tile enters nm + 1 multiplications."""
        return Work("HMMA", 256 / (nm + 1))


class BulkKernel(MmaKernel):
    """The same arithmetic behind the bulk copy engine."""

    source = "flash_mglu_bulk"
    entry = "flash_mglu_bulk<1,1>"
    oldest = 90

    def rule(self, job: Job, chip: Gpu) -> Choice:
        """The kernel's own ring if it fits a block's shared memory, else shorter ones."""
        for choice in (Choice(), Choice.of(RING=2), Choice.of(RING=2, SEGMENT=64)):
            if self.fits(job.nm, choice, chip.arch):
                return choice
        return Choice.of(RING=2, SEGMENT=64, WARPS=2)

    def tried(self) -> Iterable[Choice]:
        """Splits, warps, columns per ring stage, stages."""
        return grid((0, 1, 2), WARPS=(2, 4, 8), SEGMENT=(64, 128, 256), RING=(2, 3, 4))

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """A ring of segments per warp (weights, masks, a barrier each), and the sums."""
        segment = choice.get("SEGMENT", 256 if nm <= 4 else 128)
        ring = choice.get("RING", 2 if nm <= 4 or nm == 16 else 3)
        stage = 16 * (segment * 2 + 64) + segment // 64 * 128 * nm
        return choice.get("WARPS", WARPS) * ring * (stage + 8) + reduction_bytes(choice, nm + 1)

    def shared_limit(self, arch: str) -> int:
        """It opts in to all that the architecture has."""
        return limits_of(arch).shared_bytes_per_block


class SwiGLUKernel(CudaKernel):
    """The baseline of the same make as :class:`MmaKernel`."""

    source = "swiglu_fused"
    nms = (0,)
    matrices = 2
    entry = "swiglu_fused<1,1>"

    def tried(self) -> Iterable[Choice]:
        """Those of the tiled kernels."""
        return tiled()

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """The sums of gate and value."""
        return reduction_bytes(choice, 2)

    def work(self, nm: int) -> Work:
        """Each element of either matrix enters one multiplication."""
        return Work("HMMA", 256)


class StreamKernel(CudaKernel):
    """Row sums of W."""

    source = "stream_read"
    nms = (0,)
    entry = "stream_read"

    def tried(self) -> Iterable[Choice]:
        """Warps, loads per lane and step, bytes per L2 fetch."""
        return grid((0,), WARPS=(2, 4, 8), UNROLL=(4, 8, 16), L2_PREFETCH=(128, 256))

    def work(self, nm: int) -> Work:
        """Every load brings 16 bytes of weights per lane."""
        return Work("LDG", 256)


def tiled() -> Iterable[Choice]:
    """What a search tries for the kernels that hold a 16-row tile per block."""
    yield from grid((0, 1, 2), WARPS=(2, 4, 8), STAGES=(1, 2), L2_PREFETCH=(128, 256))
    yield from grid((0,), WARPS=(WARPS,), STAGES=(1, 2), MIN_BLOCKS=(3, 5, 6))


PAPER, PACKED, MMA, BULK = PaperKernel(), PackedKernel(), MmaKernel(), BulkKernel()
SWIGLU, STREAM = SwiGLUKernel(), StreamKernel()
# What a weight packed for tensor cores can be launched with: the first is the default, tuning may prefer another.
SHIPPED: tuple[CudaKernel, ...] = (MMA, BULK)
