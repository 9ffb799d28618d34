"""Assembly of the CPU kernels' inner loop, made by LLVM for any target, and its main loop, read.

What is compiled is the loop of :mod:`~mglubench.kernels.numba_cpu_ir` as a function of its own, by the passes that
Numba asks for. A loop is what lies between a backward branch and its label, without loops nested in it. Its weights are
counted by what is done a fixed number of times with each: additions to nm + 1 sums, or products added in one
instruction. The main loop is the first that sums weights; what is left of a row comes behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from mglubench.errors import UnavailableError
from mglubench.kernels.cpu_rows import RowShape
from mglubench.kernels.cpu_target import CpuTarget, targeting

SPEED = 3
ARGUMENTS = 11
_LABEL = re.compile(r"^(\.?L\w+):")
_INSTRUCTION = re.compile(r"^\t([a-z][\w.]*)(?:\t(.*?))?(?:\s+(?:# |//).*)?$")
_JUMP = re.compile(r"(?:j[a-z]+|b(?:\.[a-z]+)?|cbn?z|tbn?z)$")
_ADDED, _FUSED, _PAIRS, _BYTES = (
    re.compile(words) for words in (r"vaddps$|fadd$", r"vfmadd\d+ps$|fmla$", r"vdpbf16ps$", r"vpdpbusd$")
)
_STACK = re.compile(r"\(%rsp|\[sp\b")
_MEMORY = re.compile(r"\(%r|\[x|\[sp")
# What leaves a product out: a predicate of AVX-512, elsewhere a bitwise choice between it and 0.
_MASKED = re.compile(r"\{%k\d\}")
_CHOICE = re.compile(r"v?p?andn(?:ps)?$|vblendvps$|bi[tfc]$|bsl$")
_REGISTERS = {"zmm": 64, "ymm": 32, "xmm": 16, "q": 16, "d": 8, "s": 4, "h": 2, "b": 1, "x": 8, "w": 4}
_WIDENED = {"vpmovzxwd": 2, "vpmovsxbw": 2, "vcvtph2ps": 2, "vpmovsxbd": 4, "vpmovzxbd": 4}
_ONE_NUMBER = re.compile(r"vp?broadcast(?:ss|d)$|ld1r$")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction as the assembler writes it."""

    opcode: str
    operands: str

    @property
    def is_store(self) -> bool:
        """Whether it writes to memory."""
        if self.opcode.startswith(("st", "ld")):
            return self.opcode.startswith("st")
        return "mov" in self.opcode and self.operands.rstrip().endswith(")")

    @property
    def on_stack(self) -> bool:
        """Whether it reads or writes the stack."""
        return bool(_STACK.search(self.operands)) and not self.opcode.startswith("lea")

    @property
    def loaded(self) -> int:
        """Bytes that it reads from memory."""
        if not _MEMORY.search(self.operands) or self.is_store or self.opcode.startswith(("lea", "pref", "prfm")):
            return 0
        if "{1to" in self.operands or _ONE_NUMBER.match(self.opcode):
            return 4
        if vectors := re.findall(r"%([xyz]mm)\d+", self.operands):
            return _REGISTERS[vectors[-1]] // _WIDENED.get(self.opcode, 1)
        if plain := re.findall(r"\b([qdshbxw])\d+", self.operands.partition("[")[0]):
            return sum(_REGISTERS[kind] for kind in plain)
        return 16 * len(re.findall(r"\bv\d+\.", self.operands)) or 8

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors that it computes with; 0 if it has none."""
        if vectors := re.findall(r"%([xyz]mm)\d+", self.operands):
            return _REGISTERS[vectors[-1]]
        return 16 if re.match(r"v\d+\.4s", self.operands) else 0


@dataclass(frozen=True, slots=True)
class MainLoop:
    """The instructions of a loop, without those of loops in it.

    Attributes:
        work: those that sum weights, or products of them. weights: of one pass.
    """

    instructions: Sequence[Instruction]

    work: Sequence[Instruction]
    weights: float

    @property
    def vector_bits(self) -> int:
        """Of the widest vector that is summed."""
        return 8 * max(item.vector_bytes for item in self.work)

    @property
    def stack_stores(self) -> int:
        """What is put aside in every pass."""
        return sum(item.on_stack and item.is_store for item in self.instructions)

    @property
    def stack_loads(self) -> int:
        """What is read from the stack in every pass, as an operand of another instruction too."""
        return sum(item.on_stack and not item.is_store for item in self.instructions)

    @property
    def masked(self) -> int:
        """Instructions that leave products or weights out by a mask."""
        found = sum(bool(_MASKED.search(item.operands)) for item in self.instructions)
        return found or sum(_CHOICE.match(item.opcode) is not None for item in self.instructions)

    @property
    def loaded(self) -> int:
        """Bytes read from memory in one pass, the stack left out."""
        return sum(item.loaded for item in self.instructions if not item.on_stack)


def assembly(shape: RowShape, target: CpuTarget) -> str:
    """The loop of a shape in the assembly of a target.

    Raises:
        UnavailableError: LLVM here has no such target.
    """
    import llvmlite.binding as llvm
    from llvmlite import ir

    from mglubench.kernels.numba_cpu_ir import emit

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        known = llvm.Target.from_triple(target.triple)
    except RuntimeError:
        raise UnavailableError(f"the LLVM of llvmlite here compiles nothing for {target.triple}") from None
    machine = known.create_target_machine(cpu=target.cpu, features=target.told, opt=SPEED, reloc="pic")
    module = ir.Module("inspected")
    module.triple = target.triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * ARGUMENTS), "rows")
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    with targeting(target):
        emit(builder, function.args, shape)
    builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    parsed.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=SPEED)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return str(machine.emit_assembly(parsed))


def instructions_of(text: str) -> tuple[list[Instruction], dict[str, int]]:
    """All instructions of an assembly, and the place in them of every label."""
    found: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(found)
        elif made := _INSTRUCTION.match(line):
            found.append(Instruction(made[1], made[2] or ""))
    return found, labels


def main_loop(text: str, shape: RowShape) -> MainLoop | None:
    """The loop over whole chunks or turns of a shape; ``None`` if nothing is summed in a loop."""
    instructions, labels = instructions_of(text)
    spans = list(_spans(instructions, labels))
    loops = (
        _own([instructions[place] for place in _places(span, spans)], shape)
        for span in sorted(spans, key=itemgetter(1))
    )
    return next(filter(None, loops), None)


def _spans(instructions: Sequence[Instruction], labels: dict[str, int]) -> Iterator[tuple[int, int]]:
    for place, item in enumerate(instructions):
        target = labels.get(item.operands.rpartition(",")[2].strip(), place + 1)
        if _JUMP.match(item.opcode) and target <= place:
            yield target, place + 1


def _places(span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> list[int]:
    """Where a loop's instructions are, without those of loops in it."""
    start, end = span
    nested = [(first, last) for first, last in spans if (first, last) != span and start <= first and last <= end]
    return [place for place in range(start, end) if not any(first <= place < last for first, last in nested)]


def _own(instructions: Sequence[Instruction], shape: RowShape) -> MainLoop | None:
    wanted = _BYTES if shape.digits else _PAIRS if shape.dots else _ADDED if shape.nm else _FUSED
    work = [item for item in instructions if wanted.match(item.opcode) and item.vector_bytes]
    # A lane holds a sum, and of bf16 in pairs two weights, of bytes four for each digit of x; two matrices have weights
    # of their own.
    lanes = sum(item.vector_bytes for item in work) / 4 * (4 / shape.digits if shape.digits else 1 + shape.dots)
    return MainLoop(instructions, work, lanes / (shape.nm + 1) / shape.tile) if work else None
