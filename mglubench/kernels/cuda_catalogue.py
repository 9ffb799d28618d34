"""The kernels of ``kernels_cuda/``, a class each; the variants, the operator and the tools refer to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mglubench.kernels.cuda_build import FORMAT_CODES
from mglubench.kernels.cuda_kernel import WARPS, CudaKernel, reduction_bytes
from mglubench.kernels.launch_model import Flight
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

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight:
        """A block per row, chunk and token; nvcc 13.0 keeps 4 pairs a lane in flight up to nm = 2, 2 at 4, 1 at 8."""
        chunks = choice.split_k or ceil_div(job.h, choice.get("SPLIT_COLUMNS", 1024))
        pair = 2 * (2 + (1 if job.nm <= 8 else 2))
        return Flight(
            blocks=job.d * chunks * job.batch,
            warps=choice.get("WARPS", WARPS),
            block_bytes=job.h / chunks * pair / 2,
            warp_bytes=32 * pair * max(1, min(4, 8 // job.nm)),
            overlapped=False,
            shared_bytes=self.shared_bytes(job.nm, choice),
            launches=2,
        )

    def work(self, nm: int) -> Work:
        """Each pair of elements is four loads: weights, x, two masks."""
        return Work("LDG", 64 / 4)


class PackedKernel(CudaKernel):
    """Bit-packed masks on CUDA cores."""

    source = "flash_mglu_packed"
    layout = "row-1024"
    entry = "flash_mglu_packed<1,1>"
    wide = "flash_mglu_packed<8,1>"
    wide_times = tokens_per_pass = 8

    def passes(self, nm: int, batch: int) -> int:
        """Sums of 16 masks leave registers for 4 tokens."""
        return ceil_div(batch, self.tokens_per_pass if nm <= 8 else 4)

    def pinned_title(self, batch: int) -> str:
        """Nothing is said of those for 2 to 4 tokens."""
        return self.entry if batch == 1 else self.wide if batch > 4 else ""

    def rule(self, job: Job, chip: Gpu) -> Choice:
        """One row per warp where two would leave multiprocessors without a block."""
        blocks = job.d // (WARPS * 2)
        return Choice.of(ROWS=1) if job.nm <= 8 and blocks < chip.sm_count else Choice()

    def tried(self) -> Iterable[Choice]:
        """Warps, rows per warp, bytes per L2 fetch."""
        return grid((0,), WARPS=(2, 4, 8), ROWS=(1, 2), L2_PREFETCH=(128, 256))

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight:
        """All loads of 1024 columns of a warp's rows, then none until they are used up."""
        rows = choice.get("ROWS", 1 if job.nm > 8 else 2) if job.batch <= 2 else 1
        warps = choice.get("WARPS", WARPS)
        of_row = job.h * (2 + job.nm / 8)
        return Flight(
            blocks=ceil_div(job.d, rows * warps) * self.passes(job.nm, job.batch),
            warps=warps,
            block_bytes=warps * rows * of_row,
            warp_bytes=rows * 1024 * (2 + job.nm / 8),
            overlapped=False,
            shared_bytes=0,
        )

    def work(self, nm: int) -> Work:
        """Each element is multiplied once."""
        return Work("FMUL", 32)


class MmaKernel(CudaKernel):
    """Sign flips and tensor cores."""

    source = "flash_mglu_mma"
    layout = "mma-16x64"
    formats = tuple(FORMAT_CODES)
    entry = "flash_mglu_mma<1,1>"
    wide = "flash_mglu_mma<2,1>"

    def bound_warps(self, job: Job) -> int:
        """Those of 9 to 16 tokens: min_blocks of the source."""
        live = 8 * (job.nm + 1) + 2 * job.nm + 48
        return WARPS * (2 if live > 112 else 3 if live > 84 else 4) if job.batch > 8 else 0

    def tried(self) -> Iterable[Choice]:
        """Those of the tiled kernels."""
        return tiled()

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """The sums of nm gates and a total."""
        return reduction_bytes(choice, nm + 1)

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight:
        """A chunk of 16 x 64 weights and its masks ahead, where there are two register stages."""
        stages = choice.get("STAGES", 1 if job.nm == 16 and job.batch > 8 else 2)
        return tile_flight(self, job, choice, gpu, resident, job.nm / 8, overlapped=stages == 2)

    def work(self, nm: int) -> Work:
        """Each 16 x 16 tile enters nm + 1 multiplications."""
        return Work("HMMA", 256 / (nm + 1))


class RoutedKernel(MmaKernel):
    """The same arithmetic with a router's weights; masks that no token keeps are not read."""

    source = "flash_mglu_routed"
    layout = "mma-16x64-planes"
    entry = "flash_mglu_routed<1,1>"
    wide = "flash_mglu_routed<2,1>"


class BulkKernel(MmaKernel):
    """The same arithmetic behind the bulk copy engine."""

    source = "flash_mglu_bulk"
    formats = ()
    entry = "flash_mglu_bulk<1,1>"
    wide = "flash_mglu_bulk<2,1>"
    oldest = 90

    def bound_warps(self, job: Job) -> int:
        """Its bounds ask for one block."""
        return WARPS

    def rule(self, job: Job, chip: Gpu) -> Choice:
        """The kernel's own ring if it fits a block's shared memory, else a shorter one."""
        shorter = (Choice.of(RING=2), Choice.of(RING=2, SEGMENT=256))
        return next((choice for choice in (Choice(), *shorter) if self.fits(job.nm, choice, chip.arch)), shorter[-1])

    def tried(self) -> Iterable[Choice]:
        """Splits, warps, columns per ring stage, stages."""
        for choice in grid((0, 1, 2), WARPS=(2, 4, 8), SEGMENT=(256, 512, 1024), RING=(2, 3, 4, 6)):
            if choice.get("SEGMENT", 0) % (64 * choice.get("WARPS", WARPS)) == 0:
                yield choice

    @staticmethod
    def segment(nm: int, choice: Choice) -> int:
        """Columns of a ring stage."""
        return choice.get("SEGMENT", 1024 if nm <= 4 or choice.get("WARPS", WARPS) > 8 else 512)

    @staticmethod
    def ring(nm: int, choice: Choice) -> int:
        """Stages of a block's ring."""
        return choice.get("RING", 2 if nm <= 4 or nm == 16 or choice.get("WARPS", WARPS) > 8 else 3)

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """A ring of segments (weights, masks, a barrier each), and the sums."""
        segment = self.segment(nm, choice)
        stage = 16 * (segment * 2 + 64) + segment // 64 * 128 * nm
        return self.ring(nm, choice) * (stage + 8) + reduction_bytes(choice, nm + 1)

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight:
        """Whole rings, and no end to them between tiles."""
        segment = self.segment(job.nm, choice)
        tiles = tile_flight(self, job, choice, gpu, resident, job.nm / 8, overlapped=True, step=segment, least=1)
        ring_bytes = self.ring(job.nm, choice) * 16 * segment * (2 + job.nm / 8)
        copies = 17 * ceil_div(job.h, segment) * ceil_div(job.d, 16) / tiles.blocks
        return replace(tiles, warp_bytes=ring_bytes / tiles.warps, persistent=True, copies=copies)

    def shared_limit(self, arch: str) -> int:
        """It opts in to all that the architecture has."""
        return limits_of(arch).shared_bytes_per_block


class SwiGLUKernel(CudaKernel):
    """The baseline of the same make as :class:`MmaKernel`."""

    source = "swiglu_fused"
    nms = (0,)
    matrices = 2
    formats = tuple(FORMAT_CODES)
    entry = "swiglu_fused<1,1>"
    wide = "swiglu_fused<2,1>"

    def tried(self) -> Iterable[Choice]:
        """Those of the tiled kernels."""
        return tiled()

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """The sums of gate and value."""
        return reduction_bytes(choice, 2)

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight:
        """A chunk of both matrices ahead."""
        return tile_flight(self, job, choice, gpu, resident, 2.0, overlapped=choice.get("STAGES", 2) == 2)

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

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight:
        """Of 8 unrolled loads ptxas keeps 4 in flight."""
        warps = choice.get("WARPS", WARPS)
        return Flight(
            blocks=ceil_div(job.d, warps),
            warps=warps,
            block_bytes=warps * job.h * 2,
            warp_bytes=512 * choice.get("UNROLL", 8) / 2,
            overlapped=False,
            shared_bytes=0,
        )

    def work(self, nm: int) -> Work:
        """Every load brings 16 bytes of weights per lane."""
        return Work("LDG", 256)


def tile_flight(
    kernel: CudaKernel,
    job: Job,
    choice: Choice,
    gpu: Gpu,
    resident: int,
    beside: float,
    *,
    overlapped: bool,
    step: int = 64,
    least: int = 0,
) -> Flight:
    """Of the kernels whose block holds 16 rows, split along k until the blocks fill the GPU once.

    Args:
        beside: bytes per element beside the first matrix's two. step: columns that k is split by. least: of these
            that a part has, or two a warp.
    """
    warps, tiles = choice.get("WARPS", WARPS), ceil_div(job.d, 16)
    slots = gpu.sm_count * resident
    shared, parts = shared_tiles(tiles, ceil_div(job.h, step), least or 2 * warps, slots, choice.split_k)
    every = parts if shared == tiles else 1
    return Flight(
        blocks=tiles * every,
        warps=warps,
        block_bytes=16 * job.h * (2 + beside) / every,
        warp_bytes=16 * 64 * (2 + beside),
        overlapped=overlapped,
        shared_bytes=kernel.shared_bytes(job.nm, choice),
        tail_parts=parts if every == 1 else 1,
    )


def shared_tiles(tiles: int, steps: int, least: int, slots: int, split_k: int) -> tuple[int, int]:
    """Tiles that blocks share along k, and how many share each: the choice of ``tile_grid.cuh``.

    Args:
        steps: of a tile. least: of them that a part has. slots: resident blocks of the GPU.
    """
    shared = tiles if split_k or not slots else tiles % slots
    if split_k or not slots:
        return shared, ceil_div(steps, ceil_div(steps, max(1, min(split_k, steps))))
    tried = range(1, max(1, steps // least) + 1)
    return shared, min(tried, key=lambda parts: ceil_div(shared * parts, slots) * (2 * ceil_div(steps, parts) + least))


def ceil_div(value: int, by: int) -> int:
    """Rounded up."""
    return -(-value // by)


def tiled() -> Iterable[Choice]:
    """What a search tries for the kernels that hold a 16-row tile per block: the same for MGLU and its baseline.

    First the kernel's own choice with its last wave in parts, with no tile shared, with all of them shared by 2 blocks:
    a search that is cut short has decided between these. Then warps a tile, register stages, bytes per L2 fetch and
    resident blocks, with the same splits, some by 4.
    """
    yield from grid((0, 1, 2))
    yield from grid((0, 1, 2, 4), WARPS=(2, 4, 8), STAGES=(1, 2), L2_PREFETCH=(128, 256))
    yield from grid((0, 1), WARPS=(1,), STAGES=(1, 2))
    yield from grid((0, 1), WARPS=(WARPS,), STAGES=(1, 2), MIN_BLOCKS=(2, 3, 5, 6))


PAPER, PACKED, MMA, BULK = PaperKernel(), PackedKernel(), MmaKernel(), BulkKernel()
ROUTED = RoutedKernel()
SWIGLU, STREAM = SwiGLUKernel(), StreamKernel()
# What a weight packed for tensor cores can be launched with: the first is the default, tuning may prefer another.
SHIPPED: tuple[CudaKernel, ...] = (MMA, BULK)
