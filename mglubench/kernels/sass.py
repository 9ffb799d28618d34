"""Compiled kernels, read: resources and main loops out of what ``cuobjdump`` prints for a cubin or a library.

Method. A loop is what lies between a backward branch and its target. Instructions inside loops nested in it (a wait
that spins, a remainder loop) are not its own. The main loop of a kernel is the loop with the most *work* of its own:
the instructions of one kind that touch weight elements in a fixed proportion, declared per kernel as :class:`Work` (an
``mma.m16n8k16`` multiplies 256 weight elements, a 16-byte load per lane brings 256 halves). Weight elements per pass
follow from that count, and instructions per element from both. Both sides of a branch inside the loop are counted, so
the figure is an upper bound of what a warp issues.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mglubench.errors import BuildError
from mglubench.hardware.cuda_toolchain import require_tool
from mglubench.system.process import run_process

TIMEOUT_SECONDS = 120.0

_FUNCTION = re.compile(r"^\s*Function\s*:\s*(\S+)")
_INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*);")
_BRANCH_TARGET = re.compile(r"0x([0-9a-f]+)\s*$")
_RESOURCES = re.compile(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_TEMPLATE = re.compile(r"L[ib](\d+)E")


@dataclass(frozen=True, slots=True)
class Work:
    """Instructions that touch weights: opcodes starting with ``opcode``, ``elements`` weight elements per warp each."""

    opcode: str
    elements: float


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its address, opcode with modifiers, and where it jumps if it is a branch."""

    address: int
    opcode: str
    target: int | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """Opcodes of a loop, those of nested loops left out."""

    opcodes: Counter[str]

    @property
    def instructions(self) -> int:
        """Instructions of one pass."""
        return self.opcodes.total()

    def count(self, prefix: str, *parts: str) -> int:
        """Instructions whose opcode starts with ``prefix`` and has all ``parts`` among its modifiers."""
        return sum(
            count
            for opcode, count in self.opcodes.items()
            if opcode.startswith(prefix) and all(part in opcode.split(".") for part in parts)
        )

    def elements(self, work: Work) -> float:
        """Weight elements that a warp handles in one pass."""
        return self.count(work.opcode) * work.elements


@dataclass(frozen=True, slots=True)
class Kernel:
    """One entry function.

    Attributes:
        registers: per thread. stack: bytes of local memory per thread; spilled registers live there.
        shared: static shared memory in bytes, as reported.
    """

    name: str
    registers: int
    stack: int
    shared: int
    instructions: tuple[Instruction, ...]

    @property
    def title(self) -> str:
        """``flash_mglu_mma<1,1>`` for ``_ZN4mglu14flash_mglu_mmaILi1ELb1EEEvNS_6ParamsE``."""
        return short_name(self.name)

    def count(self, *opcodes: str) -> int:
        """Instructions of these opcodes in the whole kernel."""
        return sum(instruction.opcode.partition(".")[0] in opcodes for instruction in self.instructions)

    def main_loop(self, work: Work) -> Loop | None:
        """The loop with the most work of its own; ``None`` if no loop has any."""
        return max(
            (loop for loop in loops_of(self.instructions) if loop.count(work.opcode)),
            key=lambda loop: (loop.count(work.opcode), -loop.instructions),
            default=None,
        )


def read_kernels(path: Path) -> list[Kernel]:
    """All kernels of a cubin or library.

    Raises:
        UnavailableError: there is no cuobjdump. BuildError: it cannot read the file.
    """
    return parse(_cuobjdump("-sass", path), _cuobjdump("-res-usage", path))


def parse(sass: str, resources: str) -> list[Kernel]:
    """Kernels out of the text of ``cuobjdump -sass`` and ``cuobjdump -res-usage``, in order of name."""
    usage = {m[1]: tuple(int(m[k]) for k in (2, 3, 4)) for m in _RESOURCES.finditer(resources)}
    kernels = []
    for name, instructions in _functions(sass):
        registers, stack, shared = usage.get(name, (0, 0, 0))
        kernels.append(Kernel(name, registers, stack, shared, tuple(instructions)))
    return sorted(kernels, key=lambda kernel: kernel.name)


def loops_of(instructions: Sequence[Instruction]) -> Iterator[Loop]:
    """Every loop with its own instructions."""
    spans = {
        (instruction.target, instruction.address)
        for instruction in instructions
        if instruction.target is not None and instruction.target < instruction.address
    }
    for first, last in sorted(spans):
        nested = [span for span in spans if span != (first, last) and first <= span[0] and span[1] <= last]
        own = [
            instruction.opcode
            for instruction in instructions
            if first <= instruction.address <= last
            and not any(start <= instruction.address <= end for start, end in nested)
        ]
        yield Loop(Counter(own))


def short_name(mangled: str) -> str:
    """A readable name for the few shapes of mangled names that kernels here have; the name itself otherwise."""
    if not mangled.startswith("_Z"):
        return mangled
    rest, words = mangled[2:].removeprefix("N"), []
    while match := re.match(r"(\d+)", rest):
        size, rest = int(match[1]), rest[match.end() :]
        words.append(rest[:size])
        rest = rest[size:]
    arguments = _TEMPLATE.findall(rest.partition("EEv")[0] + "E") if rest.startswith("I") else []
    return (words[-1] if words else mangled) + (f"<{','.join(arguments)}>" if arguments else "")


def _functions(sass: str) -> Iterator[tuple[str, list[Instruction]]]:
    name, found = "", list[Instruction]()
    for line in sass.splitlines():
        if heading := _FUNCTION.match(line):
            if name:
                yield name, found
            name, found = heading[1], []
        elif (match := _INSTRUCTION.match(line)) and name:
            target = _BRANCH_TARGET.search(match[3]) if match[2].startswith("BRA") else None
            found.append(Instruction(int(match[1], 16), match[2], int(target[1], 16) if target else None))
    if name:
        yield name, found


def _cuobjdump(option: str, path: Path) -> str:
    command = [str(require_tool("cuobjdump")), option, str(path)]
    done = run_process(command, TIMEOUT_SECONDS)
    if done.code is None:
        raise BuildError(f"cuobjdump took longer than {TIMEOUT_SECONDS:g} s to read {path.name}")
    if done.code != 0:
        lines = (done.err or done.out).strip().splitlines() or ["no message"]
        raise BuildError(f"cuobjdump cannot read {path.name}: {lines[0]}")
    return done.out
