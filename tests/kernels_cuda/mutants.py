"""Plant bugs by rule (mutate.py), run the kernels' tests on each, say which are found.

    python tests/kernels_cuda/mutants.py [--cuda 9] [--python 4] [--file NAME] [--table tests/kernels_cuda/MUTANTS.md]
    python tests/kernels_cuda/mutants.py --part 3/8 --journal FILE    a slice; the table comes from --journal FILE alone

A mutant of a CUDA source meets the battery of the kernels that its file is part of, built by g++; one of ptx.cuh nvcc's
PTX; one of a Python kernel or of mask packing the test file of that kernel. Found means that a check failed. A mutant
that does not compile is no mutant. With --table the result becomes the table beside this file; SURVIVORS says why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from battery import BULK, MMA, PACKED, PAPER, ROUTED, STREAM, SWIGLU, Stage, stages
from elements import Probe, check_elements
from kernel_emulator import CACHE, KERNELS, ROOT, build, build_probe, skip_reason
from mutate import Mutant, chosen
from problems import check
from ptx_text import PROBE, check_probe, compile_ptx
from sass import nvcc
from survivors import SURVIVORS

FOUND, SURVIVED, SAME, INVALID = "found", "survived", "the same machine code", "does not compile"
# Which kernels' batteries a file meets, the quickest to tell first.
USED_BY = {
    "config.cuh": (MMA, PAPER),
    "formats.cuh": (MMA, SWIGLU),
    "element.cuh": (PACKED, SWIGLU, STREAM),
    "host.cuh": (MMA, PACKED, BULK, PAPER),
    "launch_abi.h": (MMA, PAPER),
    "mask_words.cuh": (MMA, PACKED, BULK),
    "masked_launch.cuh": (MMA, ROUTED),
    "mma_tile.cuh": (MMA, BULK, SWIGLU, ROUTED),
    "tile_grid.cuh": (MMA, SWIGLU, ROUTED),
}
HUNG = 20.0  # seconds; the slowest battery takes two
# Changes that could upset the order of memory accesses or their bounds: only these go on to the slow sanitizers, and
# to those of the first kernel of a list.
SANITIZED = ("barrier", "statement", "condition", "assignment", "bound", "extreme", "operator")
CPU_TESTS = ["tests/kernels/test_cpu_bounds.py", "tests/variants/test_numba_cpu.py", "tests/kernels/test_cpu_call.py"]
IR_TEST = "tests/kernels/test_numba_cpu_ir.py"
TESTS = {
    "numba_cpu_ir.py": [IR_TEST, *CPU_TESTS],
    "vector_ir.py": CPU_TESTS,
    "dots_ir.py": CPU_TESTS,
    "code_ir.py": [IR_TEST, "tests/kernels/test_code_ir.py", "tests/kernels/test_cpu_bounds.py"],
    "routed_ir.py": ["tests/nn/test_packed.py", "-k", "routed"],
    "cpu_choice.py": ["tests/kernels/test_tuning.py", "tests/kernels/test_cpu_call.py"],
    "cpu_rows.py": CPU_TESTS,
    "cpu_layers.py": CPU_TESTS,
    "numba_cuda_kernels.py": ["tests/variants/test_numba_cuda.py", "-k", "simulated and (FEW)"],
    "triton_source.py": ["tests/variants/test_triton.py", "-k", "interpreted and (FEW)"],
    "masks.py": ["tests/layer/test_masks.py"],
}
# The cases of a slow test file that there is time for; test ids start with their number.
FEW = {"numba_cuda_kernels.py": (0, 1, 3, 5, 7, 11, 12, 13), "triton_source.py": (1, 2, 4, 6, 7, 12)}


def judge(mutant: Mutant, stage_names: tuple[str, ...] = ()) -> tuple[str, str]:
    """What became of a mutant, and by which check."""
    name = Path(mutant.file).name
    if mutant.file.endswith(".py"):
        return _judge_python(mutant)
    if name == "ptx.cuh":
        return _judge_asm(mutant)
    changed = (name, mutant.text())
    same = True
    if name == "element.cuh":
        verdict = _tried(lambda: _check_elements(changed), "element by element")
        if verdict:
            return verdict
    for stage in _stages(name, mutant.kind in SANITIZED, stage_names):
        library = replace(stage.library, replaced=changed, optimize="-O1", seconds=HUNG)
        original = replace(stage.library, optimize="-O1")
        try:
            program = build(library)
        except AssertionError as error:
            return (INVALID, "") if same else (FOUND, f"{stage.name}: {_reason(error)}")
        try:
            if program.read_bytes() == build(original).read_bytes():
                continue
            same = False
            if verdict := _tried(lambda stage=stage, library=library: check(library, stage.problems), stage.name):
                return verdict
        finally:
            program.unlink()
    return (SAME, "") if same else (SURVIVED, "")


def _stages(name: str, sanitized: bool, wanted: tuple[str, ...]) -> Iterator[Stage]:
    """Of every kernel that the file is part of, then those under a sanitizer."""
    kernels = USED_BY.get(name, (name.removesuffix(".cu"),))
    every = [stage for kernel in kernels for stage in stages(kernel) if not wanted or stage.name in wanted]
    yield from (stage for stage in every if not stage.library.sanitizer)
    for stage in every if sanitized else ():
        if stage.library.kernel == kernels[0] and stage.library.sanitizer and not skip_reason(stage.library.sanitizer):
            yield stage


def _tried(run: Callable[[], None], name: str) -> tuple[str, str] | None:
    try:
        run()
    except AssertionError as error:
        if "g++ failed" in str(error):
            return INVALID, ""
        return FOUND, f"{name}: {_reason(error)}"
    return None


def _reason(error: AssertionError) -> str:
    """The telling line of a failure."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [line for line in lines if "SIMT ERROR" in line or "SUMMARY:" in line or "runtime error" in line]
    return re.sub(r"0x[0-9a-f]+|/\S+/", "", " ".join((telling or lines)[0].split()))[:90]


def _check_elements(changed: tuple[str, str]) -> None:
    for bf16 in (False, True):
        library = build_probe(bf16, changed)
        check = subprocess.run(
            [sys.executable, __file__, "--probe", str(library), str(int(bf16))], capture_output=True, text=True
        )
        library.unlink()
        assert check.returncode == 0, (check.stderr.strip().splitlines() or ["crashed"])[-1]


def _judge_asm(mutant: Mutant) -> tuple[str, str]:
    if nvcc() is None:
        return SURVIVED, "no nvcc here"
    same = True
    with tempfile.TemporaryDirectory(prefix="asm-", dir=CACHE) as folder:
        include = Path(folder) / "kernels"
        shutil.copytree(KERNELS, include)
        (include / "ptx.cuh").write_text(mutant.text())
        for bf16 in (False, True):
            defines = [f"MGLU_BF16={int(bf16)}"]
            try:
                ptx = compile_ptx(PROBE, defines, Path(folder) / "probe.ptx", include)
            except AssertionError:
                return INVALID, ""
            same = same and ptx == compile_ptx(PROBE, defines, Path(folder) / "own.ptx")
            if verdict := _tried(lambda ptx=ptx, bf16=bf16: check_probe(ptx, bf16), "PTX"):
                return verdict
    return (SAME, "") if same else (SURVIVED, "")


def _judge_python(mutant: Mutant) -> tuple[str, str]:
    """The kernel's tests against a copy of the package that holds the mutant."""
    try:
        compile(mutant.text(), mutant.file, "exec")
    except SyntaxError:
        return INVALID, ""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for part in ("mglubench", "tests", "kernels_cuda", "sweeps"):
            shutil.copytree(ROOT / part, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        (Path(folder) / mutant.file).write_text(mutant.text())
        name = Path(mutant.file).name
        few = " or ".join(f"case{number:02d}" for number in FEW.get(name, ()))
        tests = [argument.replace("FEW", few) for argument in TESTS[name]]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired:
            return FOUND, "no end"
    if done.returncode == 0:
        return SURVIVED, ""
    failed = re.search(r"^(?:FAILED|ERROR) \S+::(\w+)", done.stdout, re.MULTILINE)
    return FOUND, failed[1] if failed else "a crash"


def table(results: list[tuple[Mutant, str, str]]) -> str:
    """Markdown: how many of each file were found, and those that were not, with reasons."""
    counted = [result for result in results if result[1] in (FOUND, SURVIVED)]
    equal = [result for result in counted if SURVIVORS.get(result[0].name, "").startswith("equivalent")]
    real = [result for result in counted if result not in equal]
    found = sum(verdict == FOUND for _, verdict, _ in real)
    run = [verdict for mutant, verdict, _ in real if mutant.kind != "asm"]
    dropped = Counter(verdict for _, verdict, _ in results if verdict in (SAME, INVALID))
    lines = [
        "# Planted bugs",
        "",
        "Made by `make mutants` (tests/kernels_cuda/mutants.py), which derives changes from the sources by rule and",
        "draws from them with a fixed seed; do not edit.",
        "",
        f"{len(results)} changes drawn: {dropped[INVALID]} do not compile, {dropped[SAME]} compile to the same code, "
        f"{len(equal)} mean the same (below).",
        f"Of the {len(real)} left, **{found} were found, {100 * found / max(len(real), 1):.0f} %**.",
        f"Without those of inline asm, which is read and not run: {run.count(FOUND)} of {len(run)}.",
        "",
        "| file | found | survived |",
        "|---|---:|---:|",
    ]
    for file in dict.fromkeys(mutant.file for mutant, *_ in results):
        mine = [result for result in real if result[0].file == file]
        hits = sum(verdict == FOUND for _, verdict, _ in mine)
        lines.append(f"| `{file}` | {hits} | {len(mine) - hits} |")
    lines += ["", "| survivor | line | change | why |", "|---|---|---|---|"]
    for mutant, verdict, _ in results:
        if verdict == SURVIVED:
            change = mutant.describe().replace("|", "\\|")
            reason = SURVIVORS.get(mutant.name, "not explained yet")
            lines.append(f"| {mutant.name} | `{Path(mutant.file).name}:{mutant.line}` | {change} | {reason} |")
    return "\n".join(lines) + "\n"


def _part(text: str) -> tuple[int, int]:
    """``3/8`` as numbers."""
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 3/8")
    return int(found[1]), int(found[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", type=int, default=9, help="changes of each file of kernels_cuda/ (default: 9)")
    parser.add_argument("--python", type=int, default=4, help="changes of each Python kernel (default: 4)")
    parser.add_argument("--file", action="append", help="only of this file, below the repository")
    parser.add_argument("--only", action="append", help="only the mutant of this name")
    parser.add_argument("--part", type=_part, default=(1, 1), help="only the k-th of n slices, as K/N")
    parser.add_argument("--journal", type=Path, help="append verdicts to this file; what it holds is not judged again")
    parser.add_argument("--table", type=Path, help="write the table to this file")
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.table and options.part[1] > 1:
        parser.error("a table needs all parts: run each with --journal FILE, then --journal FILE --table TABLE")
    if options.probe:
        check_elements(Probe(Path(options.probe[0]), options.probe[1] == "1"))
        return 0
    known = {}
    if options.journal and options.journal.exists():
        known = {line["name"]: line for line in map(json.loads, options.journal.read_text().splitlines())}
    results = []
    part, parts = options.part
    # Every n-th: mutants of one file take about as long.
    for mutant in chosen(options.cuda, options.python, options.file)[part - 1 :: parts]:
        if options.only and mutant.name not in options.only:
            continue
        if mutant.name in known:
            verdict, why = known[mutant.name]["verdict"], known[mutant.name]["why"]
        else:
            verdict, why = judge(mutant)
            change = f"{mutant.file}:{mutant.line} {mutant.kind}: {mutant.describe()}"
            print(f"{verdict:22} {mutant.name} {change} {why}", flush=True)
        if options.journal and mutant.name not in known:
            with options.journal.open("a") as journal:
                journal.write(json.dumps({"name": mutant.name, "verdict": verdict, "why": why}) + "\n")
        results.append((mutant, verdict, why))
    if options.table:
        options.table.write_text(table(results))
    left = [m for m, verdict, _ in results if verdict == SURVIVED and m.name not in SURVIVORS]
    print(Counter(verdict for _, verdict, _ in results), f"{len(left)} survivors without a reason")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
