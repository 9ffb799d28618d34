"""How the loops of a CPU kernel are made: rows side by side, blocks a turn, bytes asked for ahead.

``mglubench tune`` finds them for a machine and a shape (:mod:`~mglubench.runner.cpu_search`); the rules hold where
nothing is remembered. They were measured on an EPYC (Zen 4, two cores): fp32 at nm = 1 and 2 is faster when the
hardware looks ahead by itself; with more masks, whose words are then read again for every block, and with 16-bit
weights, asking ahead is faster.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from mglubench.hardware.cpu import cpu_model
from mglubench.kernels.cpu_rows import LANES, RowShape, room_for_sums, token_tile
from mglubench.kernels.cpu_target import has_feature, here, target
from mglubench.kernels.cpu_threads import threads_used
from mglubench.kernels.tuning import Chip, Choice, Job, Tunable, grid
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.masks import round_up

# Streams of memory that a core follows at once, and how far ahead of their use it is asked for weights.
STREAMS, AHEAD = 4, 512
UNROLL = 2
# Beside the masks that do not fit any more, fp32 weights leave room for so many.
MOST_ACCUMULATORS = 20
# Its name in LLVM.
PAIRS_FEATURE = "avx512bf16"
BYTES_FEATURES = ("avx512vnni", "avx512vbmi", "avx512bw")
# Bytes that an fp32 x is cut into, of so many columns that one of them is not much of all, and so few that sums of
# products stay whole in 32 bits; sums of rows side by side, of int8 with a register for each digit.
DIGITS, LEAST_COLUMNS, MOST_COLUMNS = 3, 512, 1 << 19
MOST_OF_BYTES, MOST_OF_NIBBLES = 8, 10


class CpuKernel(Tunable[Chip]):
    """A layer in one pass over its rows: MGLU, or the gated layer of two matrices."""

    def __init__(self, name: str, *, gated: bool = False) -> None:
        self.name, self.gated = name, gated
        self._shapes: dict[Job, RowShape] = {}

    def job(self, h: int, d: int, nm: int, batch: int, dtype: str) -> Job:
        """What a choice depends on; its batch is the tokens that share a pass, its h that of padded rows."""
        return Job(self.name, round_up(h, LANES), d, nm, token_tile(nm + self.gated, batch), dtype)

    def rule(self, job: Job, chip: Chip) -> Choice:
        """As many streams as registers allow."""
        streams = STREAMS // (1 + self.gated)
        shape = self._of(job, streams, UNROLL, AHEAD)
        if shape.parts > 1:
            return choice_of(_of_narrow(shape))
        if job.dtype in FORMATS:
            return choice_of(_of_codes(shape))
        if job.dtype == "float32" and not self.gated:
            while shape.rows > 1 and shape.accumulators > _most():
                shape = shape._replace(rows=shape.rows // 2)
            return choice_of(shape._replace(ahead=0) if shape.fits else shape._replace(unroll=1))
        while shape.rows > 1 and not shape.fits:
            shape = shape._replace(rows=shape.rows // 2)
        return choice_of(shape._replace(ahead=0) if shape.dots else shape)

    def tried(self) -> Iterable[Choice]:
        """Streams and bytes ahead: half a dozen, each of which takes a second or two to compile."""
        return grid((0,), ROWS=(1, 2, 4), UNROLL=(UNROLL,), AHEAD=(0, AHEAD))

    def suits(self, job: Job, choice: Choice, chip: Chip) -> bool:
        """Whether the loop can be made, and most of its sums stay in registers."""
        shape = self.made(job, choice)
        if shape.rows not in (1, 2, 4, 8) or shape.unroll not in (1, 2, 4, 8) or shape.ahead < 0:
            return False
        # A line is asked for once, whatever the width of its weights.
        asked_once = shape.ahead == 0 or shape.unroll % shape.blocks_per_line == 0
        return asked_once and (shape.rows == 1 or shape.accumulators * shape.partials <= _most())

    def made(self, job: Job, choice: Choice) -> RowShape:
        """The shape of a loop by a choice."""
        rows, unroll, ahead = (choice.get(name, least) for name, least in (("ROWS", 1), ("UNROLL", 1), ("AHEAD", 0)))
        return self._of(job, rows, unroll, ahead)

    def _of(self, job: Job, rows: int, unroll: int, ahead: int) -> RowShape:
        lanes = target().lanes
        digits = DIGITS if self._in_digits(job) else 0
        return RowShape(job.nm, job.batch, job.dtype, rows, unroll, ahead, self.gated, _dots(job), lanes, digits)

    def _in_digits(self, job: Job) -> bool:
        """Whether codes meet x in whole numbers: of one token, and where that was faster than fp32 at 2048 x 8192.

        It was not for int8 with 8 masks, whose sums fill the registers, and no different for two int8 matrices.
        """
        most = {"int8": 0 if self.gated else 4, "int4": 8}.get(job.dtype, -1)
        few = job.nm <= most if job.dtype == "int4" else 1 <= job.nm <= most
        return few and job.batch == 1 and LEAST_COLUMNS <= job.h <= MOST_COLUMNS and adds_bytes()

    def shape(self, job: Job) -> RowShape:
        """The shape of a job's loop; the table is read at the first time.

        Raises:
            UsageError: the tuning table is damaged.
        """
        if (found := self._shapes.get(job)) is None:
            choice, chip = self.choose(job, chip_here()), chip_here()
            found = self.made(job, choice if self.suits(job, choice, chip) else self.rule(job, chip))
            self._shapes[job] = found
        return found

    def running_sums(self, job: Job) -> int:
        """Partial sums that a projection of a layer is kept in: lanes of a vector, times the independent ones."""
        shape = self.shape(job)
        return shape.vector * shape.partials

    def forget(self) -> None:
        """Read the table anew."""
        self._shapes.clear()


def _of_codes(shape: RowShape) -> RowShape:
    """A line at a time: a look-up table or a request for more serves all blocks of it."""
    shape = shape._replace(unroll=max(UNROLL, shape.blocks_per_line))
    if shape.digits:
        most = MOST_OF_BYTES if shape.dtype == "int8" else MOST_OF_NIBBLES
        while shape.rows > 1 and shape.accumulators > most:
            shape = shape._replace(rows=shape.rows // 2)
        return shape
    while shape.rows > 1 and not shape.fits:
        shape = shape._replace(rows=shape.rows // 2)
    return shape


def _of_narrow(shape: RowShape) -> RowShape:
    """Where a register holds part of a block: no more than fits, with words of masks from memory if need be."""
    if shape.coded:
        shape = shape._replace(rows=1)
    if shape.nm == 0 or not shape._replace(rows=1).fits:
        return shape._replace(rows=min(shape.rows, 2) if shape.nm == 0 else 1, unroll=1, ahead=0)
    while not shape.fits:
        shape = shape._replace(rows=shape.rows // 2)
    return shape._replace(ahead=0)


MGLU, GLU = CpuKernel("mglu_cpu"), CpuKernel("glu_cpu", gated=True)


def choice_of(shape: RowShape) -> Choice:
    """What can be chosen of a shape."""
    return Choice.of(ROWS=shape.rows, UNROLL=shape.unroll, AHEAD=shape.ahead)


def _most() -> int:
    return min(MOST_ACCUMULATORS, room_for_sums())


def _dots(job: Job) -> bool:
    return job.dtype == "bfloat16" and adds_pairs()


def adds_pairs() -> bool:
    """Whether the processor that Numba compiles for adds pairs of bf16 products (AVX-512 BF16)."""
    return has_feature(PAIRS_FEATURE)


def adds_bytes() -> bool:
    """Whether the processor that Numba compiles for adds products of bytes (AVX-512 VNNI), and permutes bytes."""
    return all(has_feature(name) for name in BYTES_FEATURES)


@cache
def chip_here() -> Chip:
    """The CPU of this machine and the threads that kernels use; which processor a virtual one is, LLVM knows."""
    arch = here().cpu
    return Chip(f"{cpu_model()} ({arch}), {threads_used()} threads", arch)
