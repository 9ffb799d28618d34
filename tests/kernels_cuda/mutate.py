"""Small changes of the kernels' sources, derived by rule: each is a bug that the tests have to find.

Rules work on the text, whose style (clang-format, ruff) has blanks around binary operators and none in templates and
pointers. Comments, includes, macros' defaults and static assertions are left alone.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kernel_emulator import KERNELS, ROOT

SEED = 2506_23225
PYTHON = (
    "mglubench/kernels/numba_cpu_ir.py",
    "mglubench/kernels/vector_ir.py",
    "mglubench/kernels/dots_ir.py",
    "mglubench/kernels/code_ir.py",
    "mglubench/kernels/routed_ir.py",
    "mglubench/kernels/cpu_choice.py",
    "mglubench/kernels/cpu_rows.py",
    "mglubench/kernels/cpu_layers.py",
    "mglubench/kernels/numba_cuda_kernels.py",
    "mglubench/kernels/triton_source.py",
    "mglubench/layer/masks.py",
)
_SWAPS = {
    "bound": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "operator": {"+": "-", "-": "+", "*": "+", "/": "*", "//": "*", "%": "/"},
    "shift": {"<<": ">>", ">>": "<<"},
    "bitwise": {"&": "|", "|": "&", "^": "|"},
    "logic": {"&&": "||", "||": "&&", "and": "or", "or": "and"},
    "assignment": {"+=": "=", "-=": "+=", "|=": "=", "&=": "=", "^=": "="},
}
_WORDS = {
    "extreme": [(r"\bmin\(", "max("), (r"\bmax\(", "min(")],
    "conversion": [
        (r"_rn\(", "_rz("),
        (r"static_cast<int64_t>\(", "static_cast<int32_t>("),
        (r"__fmul_rn\((\S+), (\S+)\)", r"(\1 * \2)"),
    ],
    "truth": [(r"\btrue\b", "false"), (r"\bfalse\b", "true")],
    "lane": [(r"\blane\b(?! =)(?=[ ;)\]])", "(lane ^ 1)"), (r"\bwarp\b(?! =)(?=[ ;)\]])", "(warp ^ 1)")],
    "member": [(r"(?<=\w)\.x\b", ".y"), (r"(?<=\w)\.y\b", ".x"), (r"(?<=\w)\.z\b", ".w"), (r"(?<=\w)\.w\b", ".z")],
    "condition": [(r"\bif \(([^()]*(?:\([^()]*\))?[^()]*)\)", r"if (!(\1))")],
    "barrier": [
        (r"(?:if \([^()]*\) )?__syncthreads\(\);", ";"),
        (r"__syncwarp\(\);", ";"),
        (r"ptx::mbarrier_wait_parity\([^;]*\);", ";"),
        (r"ptx::fence_mbarrier_init\(\);", ";"),
        (r"ptx::mbarrier_arrive_expect_tx\(([^,]*), ([^;]*)\);", r"ptx::mbarrier_arrive_expect_tx(\1, 16 + \2);"),
    ],
    "statement": [
        (r"(?m)(?<=^)( +)(?!return|const|if|for|static)[\w.\[\]>*-]+ (?:[-+|^&]?=) [^;{}]*;$", r"\1;"),
        (r"(?m)(?<=^)( +)(?!return|__sync|ptx::mbar|ptx::fence|static_assert)[\w.:]+\([^;{}]*\);$", r"\1;"),
        (r"\b\w+\+\+;", ";"),
        (r"\bcontinue;", ";"),
    ],
}
_ASM = [
    (r"acq_rel", "relaxed"),
    (r"\.gpu\b", ".cta"),
    (r"0x78", "0x6a"),
    (r"0x78", "0x96"),
    (r"evict_last", "evict_first"),
    (r"L1::no_allocate", "L1::evict_last"),
    (r"L2::128B", "L2::64B"),
    (r"\.release\.cta", ".relaxed.cta"),
    (r"\.acquire\.cta", ".relaxed.cta"),
    (r"\.release\.cluster", ".release.cta"),
    (r"f32\.f16\.f16\.f32", "f32.bf16.bf16.f32"),
    (r"f32\.bf16\.bf16\.f32", "f32.f16.f16.f32"),
    (r"add\.u32", "max.u32"),
    (r"add\.f32", "min.f32"),
    (r"ld\.relaxed\.gpu\.global", "ld.global.nc"),
    (r"%1, %2, %3", "%2, %1, %3"),
    (r"%1, %2, %3\}", "%1, %3, %2}"),
    (r"%4, %5, %6, %7", "%5, %4, %6, %7"),
    (r"\{%8, %9\}", "{%9, %8}"),
    (r"\{%0, %1\}", "{%1, %0}"),
    (r'"f"\(v\)', '"f"(-v)'),
    (r'"r"\(arrivals\)', '"r"(arrivals + 1)'),
    (r'"r"\(bytes\)', '"r"(bytes * 2)'),
    (r'"r"\(parity\)', '"r"(parity ^ 1)'),
    (r"@!done", "@done"),
    (r'asm volatile\("fence[^;]*;"[^;]*;', ";"),
]


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str  # below the repository
    kind: str
    line: int
    at: int
    old: str
    new: str
    column: int
    before: str  # the line as it is
    again: int  # how many such lines lie before it

    @property
    def name(self) -> str:
        """Short, and the same as long as the line is."""
        text = repr((self.file, self.kind, self.old, self.new, self.column, self.before, self.again))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def before_column(self) -> str:
        """The line up to the change."""
        source = (ROOT / self.file).read_text()
        return source[self.at - self.column : self.at]

    def text(self) -> str:
        """The whole file, changed."""
        source = (ROOT / self.file).read_text()
        assert source[self.at : self.at + len(self.old)] == self.old
        return source[: self.at] + self.new + source[self.at + len(self.old) :]

    def describe(self) -> str:
        old, new = (" ".join(part.split()) for part in (self.old, self.new))
        return f"`{old}` becomes `{new}`" if new != ";" else f"`{old}` is gone"


def cuda_files() -> list[str]:
    names = sorted(path.name for path in KERNELS.iterdir() if path.suffix in (".cu", ".cuh", ".h"))
    return [f"kernels_cuda/{name}" for name in names]


def mutants_of(file: str) -> list[Mutant]:
    """Every change that the rules make of a file, in the order of the text."""
    source = (ROOT / file).read_text()
    if file.endswith("ptx.cuh"):
        found = [m for m in _words(file, source, source, {"asm": _ASM}) if _in_asm(m)]
    else:
        code = _code_of_python(source) if file.endswith(".py") else _code_of_cuda(source)
        words = {k: v for k, v in _WORDS.items() if not file.endswith(".py") or k in ("extreme", "truth")}
        found = [*_swaps(file, source, code), *_words(file, source, code, words), *_constants(file, source, code)]
    return sorted(dict.fromkeys(found), key=lambda m: (m.at, m.kind, m.new))


def chosen(cuda: int = 9, python: int = 4, files: Iterable[str] | None = None) -> list[Mutant]:
    """So many changes of each file, of as many kinds as there are, drawn with a fixed seed; all of the asm's."""
    picked = []
    for file in files or [*cuda_files(), *PYTHON]:
        by_kind: dict[str, list[Mutant]] = {}
        for mutant in mutants_of(file):
            by_kind.setdefault(mutant.kind, []).append(mutant)
        drawn = []
        for kind, group in sorted(by_kind.items()):
            many = len(group) if kind == "asm" else 3 if kind == "barrier" else 1
            drawn += random.Random(f"{SEED} {file} {kind}").sample(group, min(many, len(group)))
        most = len(drawn) if "asm" in by_kind else python if file.endswith(".py") else cuda
        picked += sorted(random.Random(f"{SEED} {file}").sample(drawn, min(most, len(drawn))), key=lambda m: m.at)
    return picked


def _in_asm(mutant: Mutant) -> bool:
    """Whether a change lies within a string, or of an operand or a whole statement."""
    whole = mutant.old.startswith(("asm", '"'))
    return whole or ("#if" not in mutant.before and mutant.before_column.count('"') % 2 == 1)


def _mutant(file: str, kind: str, source: str, at: int, old: str, new: str) -> Mutant:
    start, end = source.rfind("\n", 0, at) + 1, source.find("\n", at)
    line = source[start:end]
    again = source.count(f"\n{line}\n", 0, start)
    return Mutant(file, kind, source.count("\n", 0, at) + 1, at, old, new, at - start, line.strip(), again)


def _swaps(file: str, source: str, code: str) -> Iterator[Mutant]:
    for kind, swaps in _SWAPS.items():
        either = "|".join(re.escape(old) for old in sorted(swaps, key=len, reverse=True))
        for match in re.finditer(rf"(?<= )(?:{either})(?= )", code):
            yield _mutant(file, kind, source, match.start(), match[0], swaps[match[0]])


def _words(file: str, source: str, code: str, rules: dict[str, list[tuple[str, str]]]) -> Iterator[Mutant]:
    for kind, patterns in rules.items():
        for pattern, replacement in patterns:
            for match in re.finditer(pattern, code):
                old = source[match.start() : match.end()]
                if old == match[0]:
                    yield _mutant(file, kind, source, match.start(), old, match.expand(replacement))


def _constants(file: str, source: str, code: str) -> Iterator[Mutant]:
    for match in re.finditer(r"(?<![\w.])(0x[0-9a-f]+u?|\d+\.\d+f?|\d+)(?![\w.])", code):
        text = match[0]
        if text.startswith("0x"):
            changed = [hex(int(text.rstrip("u"), 16) ^ bit) + "u" * text.endswith("u") for bit in (1, 1 << 15)]
        elif "." in text:
            value = float(text.rstrip("f"))
            new = value * 1.0003 if value else 1.0
            changed = [f"{new!r}{'f' if text.endswith('f') else ''}"]
        else:
            changed = [str(int(text) + 1), *([str(int(text) - 1)] if int(text) > 1 else [])]
        for new_text in changed:
            yield _mutant(file, "constant", source, match.start(), text, new_text)


def _code_of_cuda(source: str) -> str:
    """The text with everything blanked that is no code of a kernel or of its host half."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    left_out = r"//[^\n]*|^#(?:[^\n]*\\\n)*[^\n]*|static_assert\((?:.|\n)*?\);|\"[^\"\n]*\"|template <[^\n]*>\n|"
    left_out += r"if constexpr \([^\n]*|extern \"C\" \{|__launch_bounds__\([^\n]*\)(?= \w)"
    return re.sub(left_out, blank, source, flags=re.MULTILINE)


def _code_of_python(source: str) -> str:
    lines = [list(line) for line in source.splitlines(keepends=True)]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            (row, column), (last, end) = token.start, token.end
            for number in range(row, last + 1):
                line = lines[number - 1]
                for i in range(column if number == row else 0, end if number == last else len(line)):
                    if line[i] != "\n":
                        line[i] = " "
    code = "".join("".join(line) for line in lines)
    # Imports and annotations hold "|" and names only.
    return re.sub(r"(?m)^(?:from|import|    from|    import) .*$|->.*:$", lambda m: " " * len(m[0]), code)
