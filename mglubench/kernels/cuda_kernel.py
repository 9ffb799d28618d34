"""What a kernel of ``kernels_cuda/`` says of itself: what it takes, how it is launched, and how its library is made.

Kernels have defaults of their own (warps, register stages, the split along k from the number of multiprocessors). A
rule here only says where those do not fit a GPU or a shape; everything else is for ``mglubench tune`` to find.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mglubench.cases.vocabulary import SAME
from mglubench.errors import BuildError
from mglubench.kernels.accepted_nm import LIBRARY_NMS
from mglubench.kernels.cuda_build import FORMAT_CODES, Target, build
from mglubench.kernels.cuda_library import KernelLibrary, load
from mglubench.kernels.inspect import Block, Inspectable
from mglubench.kernels.launch_model import Flight
from mglubench.kernels.tuning import Choice, Gpu, Job, Tunable

# MGLU_WARPS of every kernel, and kMaxBatch.
WARPS = 4
TOKENS_MAX = 16
ROW_MULTIPLE = 8  # elements, 16 bytes
FP8_OLDEST = 89
# Of x and y, where W is of a format.
CODED_DTYPE = "float16"
# What a block gets without opting in to more.
SHARED_BYTES = 48 * 1024


class CudaKernel(Inspectable, Tunable[Gpu]):
    """A source file, and all that differs between it and the others.

    Attributes:
        source: its name without ``.cu``. layout: of its masks, empty without. matrices: weight matrices.
        tokens_per_pass: tokens that share one pass over W. tokens_max: tokens that one launch takes.
    """

    dtypes = ("float16", "bfloat16")
    nms = LIBRARY_NMS

    source: ClassVar[str]
    layout: ClassVar[str] = ""
    matrices: ClassVar[int] = 1
    tokens_per_pass: ClassVar[int] = TOKENS_MAX
    tokens_max: ClassVar[int] = TOKENS_MAX

    def shared_bytes(self, nm: int, choice: Choice) -> int:
        """Dynamic shared memory of a block, as the source computes it."""
        return 0

    def shared_limit(self, arch: str) -> int:
        """Most dynamic shared memory that a block may have."""
        return SHARED_BYTES

    def flight(self, job: Job, choice: Choice, gpu: Gpu, resident: int) -> Flight | None:
        """How a launch asks for weights, which the launch model is made from; ``None`` if nothing is known of that.

        Args:
            resident: blocks that a multiprocessor holds.
        """
        return None

    def bound_warps(self, job: Job) -> int:
        """Warps of a multiprocessor that the launch bounds leave registers for; 0 where nothing is said."""
        return 0

    def passes(self, nm: int, batch: int) -> int:
        """Times that a launch of so many tokens reads W."""
        return -(-batch // self.tokens_per_pass)

    def pinned_title(self, batch: int) -> str:
        """Which of the inspected kernels so many tokens are launched with; empty if it is another."""
        return self.wide if self.wide and batch > self.tokens_per_pass // 2 else self.entry

    def oldest_for(self, dtype: str) -> int:
        """The conversion of e4m3 is there from compute capability 8.9 on."""
        return max(self.oldest, FP8_OLDEST) if dtype == "fp8-e4m3" else self.oldest

    def takes(self, stored: str) -> bool:
        """Whether it reads weights of a dtype or a format."""
        return stored in (*self.dtypes, *self.formats)

    def job(self, h: int, d: int, nm: int, batch: int, dtype: str) -> Job:
        """What the launch choice for a shape depends on."""
        return Job(self.source, h, d, nm, batch, dtype)

    def fits(self, nm: int, choice: Choice, arch: str) -> bool:
        """Whether a block of this choice gets its shared memory."""
        return self.shared_bytes(nm, choice) <= self.shared_limit(arch)

    def suits(self, job: Job, choice: Choice, chip: Gpu) -> bool:
        """Whether a block of this choice gets its shared memory there."""
        return self.fits(job.nm, choice, chip.arch)

    def target(self, arch: str, nm: int, dtype: str, choice: Choice) -> Target:
        """What to compile."""
        return Target(self.source, nm if self.masked else 0, dtype, arch, choice.macros)

    def library(self, target: Target) -> KernelLibrary:
        """The library of a target, built if need be and loaded.

        Raises:
            BuildError: it does not compile or load, or reads its masks in another layout than the one stated here.
        """
        library = load(build(target))
        stored = target.dtype if target.dtype in FORMAT_CODES else SAME
        if library.weight_format != stored:
            raise BuildError(
                f"{library.name} reads weights {library.weight_format}, they are packed as {stored}; "
                f"make {self.source}.cu and its class agree"
            )
        if library.mask_layout != self.layout:
            raise BuildError(
                f"{library.name} reads masks in layout {library.mask_layout!r}, they are packed in {self.layout!r}; "
                f"make {self.source}.cu and its class agree"
            )
        return library

    def usual_choice(self, arch: str, nm: int) -> Choice:
        """What a large layer is launched with on an untuned GPU of this architecture."""
        return self.choose(self.job(4096, 14336, nm, 1, "float16"), Gpu("", arch, 0))

    def artifact(self, arch: str, nm: int, dtype: str) -> Path:
        """The library of the usual choice."""
        return build(self.target(arch, nm, dtype, self.usual_choice(arch, nm)))

    def block(self, arch: str, nm: int) -> Block:
        """Of the usual choice."""
        choice = self.usual_choice(arch, nm)
        return Block(32 * choice.get("WARPS", WARPS), self.shared_bytes(nm, choice))


def reduction_bytes(choice: Choice, sums: int) -> int:
    """Where the warps' fp32 sums of a tile meet, [warps][sums][4][32 lanes]."""
    return 4 * choice.get("WARPS", WARPS) * sums * 4 * 32
