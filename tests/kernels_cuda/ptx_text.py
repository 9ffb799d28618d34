"""What nvcc's PTX says: the inline asm of ptx.cuh with its operands traced to parameters, and facts about a kernel.

A checker of text, not an interpreter: opcodes, modifiers, immediates, the order of operands, rounding, shuffles.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from kernel_emulator import KERNELS
from sass import nvcc

PROBE = Path(__file__).resolve().parent / "ptx_probe.cu"

# The asm of each function of ptx.cuh with p0, p1, ... for the probe's parameters, r0, ... for registers that only the
# asm knows, and then what is stored: by the PTX ISA 8.0 and newer, sections "ld", "ld.global.nc", "atom", "red",
# "lop3" (0x78 = a ^ (b & c)), "prmt" (16704 = 0x4140: bytes
# a0, b0, a1, b0), "sub", "fma", "cvt", "mma.m16n8k16", "mbarrier.*", "cp.async.bulk".
EXPECTED = {
    "ld_stream_v4": ["ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {r0, r1, r2, r3}, [p0]", "p1 <- r0, r1, r2, r3"],
    "ld_stream_v2": ["ld.global.nc.L1::no_allocate.L2::128B.v2.u32 {r0, r1}, [p0]", "p1 <- r0, r1"],
    "ld_stream_u32": ["ld.global.nc.L1::no_allocate.L2::128B.u32 r0, [p0]", "p1 <- r0"],
    "ld_cached_v4": ["ld.global.nc.L1::evict_last.v4.u32 {r0, r1, r2, r3}, [p0]", "p1 <- r0, r1, r2, r3"],
    "ld_other_block_f32": ["ld.relaxed.gpu.global.f32 r0, [p0]", "p1 <- r0"],
    "atom_add_acq_rel_gpu": ["atom.acq_rel.gpu.global.add.u32 r0, [p0], p1", "p2 <- r0"],
    "red_add_f32": ["red.relaxed.gpu.global.add.f32 [p0], p1"],
    "xor_and": ["lop3.b32 r0, p0, p1, p2, 0x78", "p3 <- r0"],
    "permute_bytes": ["prmt.b32 r0, p0, p1, 16704", "p2 <- r0"],
    "sub_f16x2": ["sub.rn.f16x2 r0, p0, p1", "p2 <- r0"],
    "fma_f16x2": ["fma.rn.f16x2 r0, p0, p1, p2", "p3 <- r0"],
    "e4m3x2_to_f16x2": ["cvt.rn.f16x2.e4m3x2 r0, p0", "p1 <- r0"],
    "mma_m16n8k16": [
        "mma.sync.aligned.m16n8k16.row.col.f32.TYPE.TYPE.f32 "
        "{p0, p1, p2, p3}, {p4, p5, p6, p7}, {p8, p9}, {p0, p1, p2, p3}",
        "p10 <- p0, p1, p2, p3",
    ],
    "mbarrier_init": ["mbarrier.init.shared::cta.b64 [p0], p1"],
    "fence_mbarrier_init": ["fence.mbarrier_init.release.cluster", "fence.proxy.async.shared::cta"],
    "mbarrier_arrive_expect_tx": ["mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [p0], p1"],
    "mbarrier_wait_parity": [
        ".reg .pred done",
        "again: mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [p0], p1",
        "@!done bra again",
    ],
    "bulk_copy_to_shared": [
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [p0], [p1], p2, [p3]",
    ],
}


def compile_ptx(source: Path, defines: list[str], to: Path, include: Path = KERNELS) -> str:
    """PTX for sm_90a."""
    compiler = nvcc()
    assert compiler
    command = [compiler, "-std=c++17", "-O3", "-arch=sm_90a", "-ptx", "-I", str(include)]
    done = subprocess.run(
        [*command, *(f"-D{d}" for d in defines), "-o", str(to), str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, f"nvcc failed\n{done.stderr[-2000:]}"
    return to.read_text()


def inline_asm(ptx: str) -> dict[str, list[str]]:
    """Of each kernel, its inline asm and what it stores, operands by the names that EXPECTED uses."""
    return {name: _canonical(name, body) for name, body in _entries(ptx)}


def check_probe(ptx: str, bf16: bool) -> None:
    """The asm of every function of ptx.cuh is what it is meant to be; raises AssertionError."""
    found = inline_asm(ptx)
    assert set(found) == set(EXPECTED)
    for name, wanted in EXPECTED.items():
        lines = [line.replace("TYPE", "bf16" if bf16 else "f16") for line in wanted]
        assert found[name] == lines, f"{name}: {found[name]}, not {lines}"


def roundings(ptx: str) -> set[str]:
    """Conversions to a narrower float, with their rounding."""
    return {form for form in re.findall(r"\bcvt\.[\w.]+", ptx) if re.search(r"\.b?f16\.f32$", form)}


def products(ptx: str) -> set[str]:
    """Kinds of fp32 multiplication that no fused multiply-add may take in: those with their own rounding."""
    return set(re.findall(r"\bmul\.r[nzmp]\.f32", ptx))


def shuffles(ptx: str) -> set[tuple[str, int, int, int]]:
    """(opcode, lane mask, clamp, members) of every shuffle."""
    found = set()
    for _, body in _entries(ptx):
        numbers = {name: int(value, 0) for name, value in re.findall(r"mov\.[bu]32\s+(%r\d+), (-?\d\w*);", body)}
        pattern = r"(shfl\.sync\.\w+\.b32)\s+%r\d+\|%p\d+, %r\d+, ([^,]+), ([^,]+), ([^;]+);"
        for opcode, *operands in re.findall(pattern, body):
            lane, clamp, members = (numbers[o] if o.startswith("%") else int(o, 0) for o in operands)
            found.add((opcode, lane, clamp, members))
    return found


def _entries(ptx: str) -> list[tuple[str, str]]:
    """Name and body of each kernel."""
    return re.findall(r"\.entry (\w+)\(.*?\)[^{]*\{(.*?)\n\}", ptx, re.DOTALL)


def _canonical(name: str, body: str) -> list[str]:
    names: dict[str, str] = {}
    lines: list[str] = []
    stored: dict[str, list[str]] = {}
    fresh = 0
    inside, label = False, ""
    for raw in re.split(r"\n|;|(?<=:)\s", body):
        text = raw.strip().strip("{}").strip() if not inside else re.sub(r"^\{\s*$|^\}\s*$", "", raw.strip())
        if "inline asm" in text:
            inside = "begin" in text
        elif inside and text.endswith(":"):
            label = text + " "
        elif inside and text:
            for register in re.findall(r"%\w+", text):
                if register not in names:
                    names[register] = f"r{fresh}"
                    fresh += 1
            lines.append(label + re.sub(r"%\w+", lambda m: names[m[0]], " ".join(text.split())))
            label = ""
        elif m := re.match(rf"ld\.param\.\w+\s+(%\w+), \[{name}_param_(\d+)\]", text):
            names[m[1]] = f"p{m[2]}"
        elif m := re.match(r"(?:cvta\.to\.(?:global|shared)\.u64|cvt\.u32\.u64|mov\.\w+)\s+(%\w+), (%\w+)", text):
            names[m[1]] = names.get(m[2], m[2])
        elif m := re.match(r"st\.global\.\w+\s+\[(%\w+)(?:\+(\d+))?\], (%\w+)", text):
            values = stored.setdefault(names.get(m[1], m[1]), [])
            assert int(m[2] or 0) == 4 * len(values), f"{name}: stored out of order"
            values.append(names.get(m[3], m[3]))
    return lines + [f"{target} <- {', '.join(values)}" for target, values in stored.items()]
