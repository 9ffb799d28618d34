"""Deterministic facts about compiled kernels: resources from ptxas, instructions per weight element from SASS."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kernel_emulator import KERNELS

HMMA_ELEMENTS = 16 * 16  # weight elements of one mma.m16n8k16


@dataclass(frozen=True)
class Resources:
    """What ptxas reports for one kernel."""

    name: str
    registers: int
    spilled_bytes: int


@dataclass(frozen=True)
class Loop:
    """The main loop of a kernel: the one with the most HMMA."""

    opcodes: Counter[str]

    @property
    def instructions(self) -> int:
        return sum(self.opcodes.values())

    def count(self, prefix: str) -> int:
        return sum(count for opcode, count in self.opcodes.items() if opcode.startswith(prefix))

    def per_element(self, sums_per_element: int) -> float:
        """Warp instructions per weight element, when each element enters `sums_per_element` HMMA."""
        return self.instructions * sums_per_element / (self.count("HMMA") * HMMA_ELEMENTS)


def nvcc() -> str | None:
    return shutil.which("nvcc") or _from_wheels("nvcc")


def nvdisasm() -> str | None:
    return shutil.which("nvdisasm") or _from_wheels("nvdisasm")


def compile_cubin(kernel: str, arch: str, defines: list[str], to: Path) -> list[Resources]:
    """Compile for one architecture; returns the resources of each of its kernels."""
    compiler = nvcc()
    assert compiler
    target = f"arch=compute_{arch},code=sm_{arch}"
    command = [compiler, "-std=c++17", "-O3", "-gencode", target, "-Xptxas", "-v", "-cubin", "-o", str(to)]
    command += [*(f"-D{d}" for d in defines), str(KERNELS / f"{kernel}.cu")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "warning" not in done.stderr.lower(), done.stderr[-3000:]
    resources = []
    for block in re.split(r"Compiling entry function ", done.stderr)[1:]:
        name = re.match(r"'(\w+)'", block)
        registers = re.search(r"Used (\d+) registers", block)
        spills = re.findall(r"(\d+) bytes spill", block)
        assert name
        assert registers
        resources.append(Resources(name[1], int(registers[1]), sum(map(int, spills))))
    return resources


def main_loops(cubin: Path) -> dict[str, Loop]:
    """Main loop of each kernel in a cubin, by mangled name."""
    tool = nvdisasm()
    assert tool
    text = subprocess.run([tool, "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    loops = {}
    for section in re.split(r"\n\s*\.section\s+\.text\.", text)[1:]:
        name = re.match(r"[\w$]+", section)
        assert name
        loop = _main_loop(section)
        if loop:
            loops[name[0]] = loop
    return loops


def _main_loop(section: str) -> Loop | None:
    """Instructions between a label and the last branch back to it, for the innermost with the most HMMA."""
    opcodes: list[str] = []
    labels: dict[str, int] = {}
    best: Loop | None = None
    for line in section.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(opcodes)
        instruction = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", line)
        if not instruction:
            continue
        opcodes.append(instruction[1])
        target = re.search(r"`\((\.L_x_\d+)\)", instruction[2])
        if instruction[1].startswith("BRA") and target and target[1] in labels:
            loop = Loop(Counter(opcodes[labels[target[1]] :]))
            if loop.count("HMMA") and (best is None or _rank(loop) > _rank(best)):
                best = loop
    return best


def _rank(loop: Loop) -> tuple[int, int]:
    """More HMMA first; of a nest of loops with the same HMMA, the innermost."""
    return loop.count("HMMA"), -loop.instructions


def _from_wheels(tool: str) -> str | None:
    try:
        from cuda.pathfinder import find_nvidia_binary_utility
    except ImportError:
        return None
    found = find_nvidia_binary_utility(tool)
    return found if found and os.access(found, os.X_OK) else None
