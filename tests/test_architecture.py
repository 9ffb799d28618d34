"""What holds for the package as a whole: its surface, its floors, its wheel."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

import mglubench
from mglubench import errors
from tests.conftest import ROOT

TEXTS = ("str", "str | None")
SURFACE = [
    "Case",
    "Comparison",
    "Ledger",
    "MglubenchError",
    "PackedWeight",
    "Problem",
    "UnavailableError",
    "Variant",
    "bench",
    "compare",
    "declare",
    "derive",
    "flash_mglu",
    "load",
    "pack",
    "pack_weight",
    "plot",
    "predict",
    "roofline",
    "run",
    "sweep",
    "tables",
    "unpack",
]


def test_the_public_surface_is_exactly_this():
    assert mglubench.__all__ == SURFACE
    for name in SURFACE:
        assert inspect.getdoc(getattr(mglubench, name)), name
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'"):
        _ = mglubench.nothing


def test_importing_the_package_imports_nothing_heavy():
    code = "import mglubench, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "mglubench" in loaded
    assert not loaded & {"numba", "numpy", "pandas", "pydantic", "rich", "torch", "typer"}


def test_a_floor_imports_only_from_the_floors_below():
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert tool, "import-linter is part of the dev extra"
    done = subprocess.run([tool, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_bare_file_name_is_unique():
    names = [
        path.name for path in (ROOT / "mglubench").rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    ]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_a_reason_is_asked_for_by_why():
    """A function that tells why something cannot be, or nothing, says so in its name."""
    silent = []
    for path in (ROOT / "mglubench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            tells = isinstance(node, ast.FunctionDef) and node.returns and ast.unparse(node.returns) in TEXTS
            if tells and (ast.get_docstring(node) or "").startswith(("Why ", "What is wrong")):
                silent += [] if "why" in node.name or "reason" in node.name else [f"{path.name}: {node.name}"]
    assert silent == []


def test_every_module_says_what_it_is_for():
    for path in (ROOT / "mglubench").rglob("*.py"):
        source = path.read_text()
        assert not source or ast.get_docstring(ast.parse(source)), path


def test_a_bare_file_name_is_there_once():
    names = Counter(path.name for path in (ROOT / "mglubench").rglob("*.py"))
    twice = {name for name, count in names.items() if count > 1} - {"__init__.py", "__main__.py"}
    assert not twice


def test_a_command_is_a_file_and_a_file_a_command():
    from mglubench.cli.app import COMMANDS

    files = {path.stem.removesuffix("_command") for path in (ROOT / "mglubench" / "cli").glob("*_command.py")}
    assert files == set(COMMANDS)


def test_no_process_is_started_from_a_program_in_a_string():
    started = re.compile(r"sys\.executable,\s*[\"']-c[\"']")
    assert not [path for path in (ROOT / "mglubench").rglob("*.py") if started.search(path.read_text())]


def test_only_the_supervisor_of_processes_starts_one():
    """A child that outlives its time takes its children along only if ``system/process.py`` started it."""
    starters = {
        str(path.relative_to(ROOT / "mglubench"))
        for path in (ROOT / "mglubench").rglob("*.py")
        if modules_of(path) & {"subprocess", "multiprocessing"}
        or re.search(r"os\.(system|popen|spawn)", path.read_text())
    }
    assert starters == {"system/process.py"}


def modules_of(path):
    """The modules that a file imports, anywhere in it, by their first name."""
    for_names = (
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    )
    names = [
        node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
        for node in for_names
        for alias in node.names
    ]
    return {name.partition(".")[0] for name in names}


def test_what_is_imported_for_types_alone_is_used_for_types_alone():
    """A name that only a checker sees is a NameError where the program calls it."""
    wrong = []
    for path in (ROOT / "mglubench").rglob("*.py"):
        tree = ast.parse(path.read_text())
        blocks = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
        unseen = {a.asname or a.name for b in blocks for i in b.body if hasattr(i, "names") for a in i.names}
        called = (n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
        local = {
            a.asname or a.name
            for f in functions_in(path)
            for i in ast.walk(f)
            if isinstance(i, ast.ImportFrom)
            for a in i.names
        }
        wrong += [f"{path.name}: {f.id}" for f in called if f.id in unseen - local]
    assert wrong == []


def test_every_error_is_one_of_ours():
    defined = (value for _, value in inspect.getmembers(errors, inspect.isclass))
    classes = [value for value in defined if value.__module__ == errors.__name__]
    assert all(issubclass(value, errors.MglubenchError) for value in classes)
    assert errors.CaseError("oom", "too big").status == "oom"


def test_a_wheel_carries_the_kernels_and_the_sweeps(tmp_path):
    """Built from a copy, so that the checkout stays as it is."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("mglubench", "sweeps", "kernels_cuda", "reports/inspect-sm_90a"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("sweeps", "kernels_cuda", "reports/inspect-sm_90a"):
        wanted = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert {f"mglubench/_data/{folder}/{name}" for name in wanted} <= inside
    assert "mglubench/cli/app.py" in inside
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)
    assert "mglubench/py.typed" in inside
    parts = [path for path in (ROOT / "mglubench" / "report" / "html" / "assets").rglob("*") if path.is_file()]
    assert len(parts) > 10
    assert {str(path.relative_to(ROOT)) for path in parts} <= inside
    assert not any(name.startswith(("tests/", "sweeps/")) for name in inside)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = "import mglubench; from mglubench.cases.config import find_sweep; print(find_sweep('paper'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(tmp_path / "installed" / "mglubench" / "_data" / "sweeps" / "paper.toml")


# Files whose signatures still say Any: NVIDIA's reader has no types, the others wait for theirs. No file may join them.
MOST_ANY = 119
UNTYPED = {"results/read_ncu_rep.py", "results/read_nsys.py", "results/rows.py"}


def test_signatures_of_cases_results_runner_and_report_say_what_they_take():
    package = ROOT / "mglubench"
    rooms = ("cases", "results", "runner", "report")
    files = (path for room in rooms for path in sorted((package / room).glob("*.py")))
    untyped = {str(path.relative_to(package)) for path in files if any(map(says_any, functions_in(path)))}
    assert untyped <= UNTYPED


def test_any_is_said_rarely():
    """Only where a type cannot be said; lower the bound when lines go, never raise it."""
    files = (ROOT / "mglubench").rglob("*.py")
    assert (
        sum(bool(re.search(r"\bAny\b", line)) for path in files for line in path.read_text().splitlines()) <= MOST_ANY
    )


def functions_in(path):
    return (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def says_any(function):
    """Whether a parameter or the result of a function is an Any, or holds some."""
    given = function.args
    parameters = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    said = [function.returns, *(parameter.annotation for parameter in parameters if parameter)]
    return any(getattr(node, "id", "") == "Any" for annotation in said if annotation for node in ast.walk(annotation))
