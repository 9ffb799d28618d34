"""What the documents say of the project holds: paths are there, floors, commands and the surface are told."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

import mglubench
from tests.conftest import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "kernels_cuda/README.md")
# Pages that name fewer files.
PAGES = ("docs/README.md", "docs/formats.md", "docs/how_it_measures.md", "docs/models.md", "docs/pythons.md")
# A path is a word with a slash below one of these folders, or a file of one of these kinds.
FOLDERS = ("mglubench/", "kernels_cuda/", "sweeps/", "reports/", "tests/", "docs/")
FILE = re.compile(r"[\w./-]+\.(?:py|toml|md|cu|cuh|csv|png|h)")


def words_of(name):
    """What stands in code spans and links, without what is only an example."""
    text = (ROOT / name).read_text()
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (word for span in re.findall(r"`([^`\n]+)`", text) for word in span.split())
    yield from (target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target)


@pytest.mark.parametrize("name", [*DOCUMENTS, *PAGES])
def test_every_path_that_a_document_names_is_there(name):
    named = {word.rstrip(".,;:") for word in words_of(name)}
    paths = {word for word in named if word.startswith(FOLDERS) or FILE.fullmatch(word)}
    paths = {path for path in paths if "NAME" not in path and "*" not in path}
    assert len(paths) > (5 if name in DOCUMENTS else 0)
    beside = (ROOT / name).parent
    rooms = [ROOT, beside, *(ROOT / folder for folder in ("kernels_cuda", "mglubench/kernels", "tests/kernels_cuda"))]
    # Files that a run or a user makes.
    made = {"run.json", "rows.jsonl", "counters.jsonl", "ceilings.json", "repeats.json", "rows.parquet"}
    assert [path for path in sorted(paths - made) if not any((room / path).exists() for room in rooms)] == []


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_every_floor_is_told(name):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = [room for floor in contracts[0]["layers"] for room in floor.split(" | ")]
    told = (ROOT / name).read_text()
    folders = [room for room in rooms if (ROOT / "mglubench" / room).is_dir()]
    assert len(folders) > 10
    assert [room for room in folders if not re.search(rf"(^    |\| |`|, ){room}\b", told, flags=re.MULTILINE)] == []


def test_every_name_of_the_surface_is_told():
    module = mglubench.__doc__
    assert [name for name in mglubench.__all__ if f"`{name}`" not in module] == []


def test_a_source_distribution_carries_the_documents():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert {"docs", "README.md", "CONTRIBUTING.md", "tests", "kernels_cuda", "sweeps"} <= set(settings["include"])
    assert all((ROOT / name).exists() for name in settings["include"])


def test_the_python_of_the_readme_is_python():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "README.md", "exec")
    names = {name for block in blocks for name in re.findall(r"mglubench\.(\w+)\(", block)}
    assert {"load", "derive", "sweep"} <= names <= set(mglubench.__all__)


def test_the_commands_of_the_readme_are_all_of_them():
    shown = subprocess.run(
        [sys.executable, "-c", "from mglubench.cli.app import COMMANDS; print(*COMMANDS)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    told = set(re.findall(r"`mglubench (\w+)", (ROOT / "README.md").read_text()))
    assert set(shown.stdout.split()) <= told
