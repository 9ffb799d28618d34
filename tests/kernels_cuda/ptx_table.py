"""What may be special in a kernel's PTX: each instruction whose meaning lies in its modifiers, where it is, and why.

Sources: ISA is NVIDIA's "Parallel Thread Execution ISA", by section; MATH is the "CUDA Math API" and its accuracy table
in the CUDA C++ Programming Guide. TYPE is the element's type. Plain loads, integers and moves are not looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from battery import BULK, KERNELS, MMA, PACKED, PAPER, ROUTED, STREAM, SWIGLU

ACTIVATED = (PAPER, PACKED, MMA, BULK, ROUTED, SWIGLU)
TILED = (MMA, BULK, ROUTED, SWIGLU)


@dataclass(frozen=True)
class Special:
    """An instruction: in which kernels it has to be, whether only for fp16, by which source it is what is meant."""

    opcode: str
    kernels: tuple[str, ...]
    source: str
    halves_only: bool = False


STREAMED = "ld.global.nc.L1::no_allocate.L2::128B"
TABLE = (
    # Sums and products: IEEE 754 single, to nearest even; without a modifier .rn is the default and fusing is allowed.
    Special("add.f32", KERNELS, "ISA add: no rounding modifier is .rn"),
    Special("sub.f32", ACTIVATED, "ISA sub: no rounding modifier is .rn"),
    Special("mul.f32", ACTIVATED, "ISA mul: no rounding modifier is .rn, may be fused; of the activations alone"),
    Special("mul.rn.f32", (PAPER, PACKED), "ISA mul: an explicit .rn is never fused into a multiply-add"),
    Special("fma.rn.f32", ACTIVATED, "ISA fma: rounded once"),
    # Activations.
    Special("div.rn.f32", ACTIVATED, "ISA div: IEEE 754; v / (1 + e^-v) without -use_fast_math"),
    Special("ex2.approx.ftz.f32", ACTIVATED, "MATH __expf(x) is ex2.approx of x log2(e): 2 ulp + floor(|1.173 x|)"),
    Special("ex2.approx.f32", ACTIVATED, "MATH erff: 2 ulp, by ex2"),
    Special("copysign.f32", ACTIVATED, "ISA copysign: erff is odd"),
    Special("selp.f32", ACTIVATED, "ISA selp: erff's ranges, NaN unless finite"),
    # Elements.
    Special("cvt.f32.f16", (PAPER, PACKED, ROUTED, STREAM), "ISA cvt: widening is exact and takes no rounding", True),
    Special("cvt.rn.TYPE.f32", KERNELS, "ISA cvt: narrowing to nearest even"),
    # Warps and blocks.
    Special("shfl.sync.bfly.b32", (PAPER, PACKED, ROUTED, STREAM), "ISA shfl.sync: lane ^ mask"),
    Special("bar.sync", (PAPER, *TILED), "ISA bar: barrier 0, all threads of the block"),
    Special("bar.warp.sync", (BULK,), "ISA bar.warp.sync: memory ordered among the lanes of the mask"),
    # Memory.
    Special("ld.global.nc.u8", (PAPER,), "ISA ld.global.nc: what the kernel does not write; a mask byte by __ldg"),
    Special(
        f"{STREAMED}.v4.u32",
        (PACKED, MMA, ROUTED, SWIGLU, STREAM),
        "ISA ld.global.nc: hints .L1::no_allocate, .L2::128B",
    ),
    Special(f"{STREAMED}.u32", (ROUTED,), "ISA ld.global.nc; a word of a kept mask"),
    Special(f"{STREAMED}.v2.u32", (PACKED, MMA), "ISA ld.global.nc; two words of masks at nm = 2"),
    Special("ld.global.nc.L1::evict_last.v4.u32", (PACKED, *TILED), "ISA ld.global.nc: hint .L1::evict_last, for x"),
    Special("ld.relaxed.gpu.global.f32", TILED, "ISA ld: .relaxed.gpu sees what another block released"),
    Special("atom.acq_rel.gpu.global.add.u32", TILED, "ISA atom: .acq_rel.gpu orders partial sums around it"),
    Special("red.relaxed.gpu.global.add.f32", (PAPER,), "ISA red: no result, no order; fp32 add, rounded to nearest"),
    # Tensor cores and signs.
    Special(
        "mma.sync.aligned.m16n8k16.row.col.f32.TYPE.TYPE.f32",
        TILED,
        "ISA mma: A 16x16 row-major, B 16x8 column-major, fp32 accumulators",
    ),
    Special("lop3.b32", (MMA, BULK, ROUTED), "ISA lop3: immediate 0x78 is a ^ (b & c), 0xf0 ^ (0xcc & 0xaa)"),
    # Bulk copies.
    Special(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes",
        (BULK,),
        "ISA cp.async.bulk: address and size multiples of 16, completion as bytes of an mbarrier's phase",
    ),
    Special("mbarrier.init.shared::cta.b64", (BULK,), "ISA mbarrier.init: the count of arrivals of a phase"),
    Special(
        "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64",
        (BULK,),
        "ISA mbarrier.arrive.expect_tx: bytes are expected before the arrival counts; sink _ for the state",
    ),
    Special(
        "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64",
        (BULK,),
        "ISA mbarrier.try_wait: the phase of that parity; may return early, so it loops",
    ),
    Special("fence.mbarrier_init.release.cluster", (BULK,), "ISA fence: initialised mbarriers seen by other proxies"),
    Special("fence.proxy.async.shared::cta", (BULK,), "ISA fence.proxy: generic accesses before async ones"),
)
# The only immediates that decide what an instruction means: of lop3, and the number of a barrier.
LOP3 = {0xF0 ^ (0xCC & 0xAA)}
_SPECIAL = re.compile(
    r"^\s*(?:@!?%?\w+\s+)?(?:again:\s*)?[{]?\s*((?:mma|cp|mbarrier|fence|red|atom|ex2|rcp|div|sqrt|rsqrt|tanh|lop3|bar|barrier|"
    r"shfl|membar|copysign|min|max|selp|fma|mul|add|sub|cvt|ld|st)\b[\w.:]*)",
    re.MULTILINE,
)
_PLAIN = re.compile(r"(ld|st)\.(global|shared|param|local|const)\.(v\d\.)?[busf]\d+|.*\.[bus]\d+$|cvta?\..*")
_NEVER_PLAIN = re.compile(r"lop3|shfl|bar|atom|red|mbarrier|cp|.*\.(nc|relaxed)\.|cvt\.(r|f)")


def expected(kernel: str, bf16: bool) -> set[str]:
    """What the table says of a kernel's PTX."""
    name = "bf16" if bf16 else "f16"
    return {
        each.opcode.replace("TYPE", name)
        for each in TABLE
        if kernel in each.kernels and not (each.halves_only and bf16)
    }


def specials(ptx: str) -> set[str]:
    """What a kernel's PTX has of the kind."""
    found = set(_SPECIAL.findall(ptx))
    return {opcode for opcode in found if _NEVER_PLAIN.match(opcode) or not _PLAIN.fullmatch(opcode)}


def lop3_immediates(ptx: str) -> set[int]:
    """Truth tables of the inline lop3."""
    return {int(value, 0) for value in re.findall(r"lop3\.b32 [^;]*, (\w+);", ptx)}


def barriers(ptx: str) -> set[str]:
    """Numbers of the barriers of blocks."""
    return set(re.findall(r"\bbar\.sync\s+([^;]+);", ptx))
