"""Variants in files that nobody packaged: on the command line, in workers, from Python; and files that are broken."""

from __future__ import annotations

import json
import re

import pytest

import mglubench
from mglubench.errors import UsageError
from mglubench.kernels.cuda_kernel import CudaKernel
from mglubench.variants.plugins import FILES_VARIABLE, name_files, plugin_files
from mglubench.variants.registry import asked_kernels, asked_plugins, broken_plugins, get_variant, variants
from tests.conftest import ROOT, make_case, run_command

TWO = """
from neighbour import SUMMARY
from mglubench.variants.torch_eager import LinearUnit, SwiGLU

class Abstract(LinearUnit):
    pass

class First(LinearUnit):
    name, summary = "first", SUMMARY

class Second(SwiGLU):
    name, summary = "second", "of two"
    activations = ("relu", "silu")
"""
FAKE = ("--executor", "fake", "--shape", "24x16", "--no-ceiling", "--json")


@pytest.fixture
def two(tmp_path):
    (tmp_path / "neighbour.py").write_text("SUMMARY = 'has a neighbour'\n")
    (tmp_path / "two layers.py").write_text(TWO)
    path = tmp_path / "two.py"
    path.write_text(TWO.replace("class Abstract(LinearUnit):\n    pass\n", ""))
    return path


def example():
    """The README's own example of a variant."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (found,) = (block for block in blocks if "(Variant):" in block)
    return found


def test_the_readme_s_example_passes_verify_and_is_measured_as_it_is_written(tmp_path):
    (tmp_path / "my_layers.py").write_text(example())
    named = ("--plugin", "my_layers.py", "--device", "cpu")
    checked = run_command("verify", *named, "--variants", "swiglu-my-way", "--dtype", "float32", "--json", cwd=tmp_path)
    assert checked.code == 0, checked.err
    judged = json.loads(checked.out)["variants"]
    assert [row["result"] for row in judged] == ["right"]
    assert all(row["passed"] == row["cases"] > 5 for row in judged)
    small = ("--shape", "24x16", "--variants", "swiglu-my-way", "--no-ceiling", "--max-seconds", "0.02", "--json")
    swept = run_command("sweep", *named, *small, "--activation", "silu,relu", cwd=tmp_path)
    rows = {row["activation"]: (row["status"], row["reason"]) for row in json.loads(swept.out)["rows"]}
    assert rows == {"silu": ("ok", ""), "relu": ("unsupported", "activation relu is not among silu")}


def test_auto_takes_what_files_offer(cli, two, monkeypatch):
    monkeypatch.setenv(FILES_VARIABLE, "")
    swept = cli("sweep", "--plugin", str(two), *FAKE)
    names = [row["variant"] for row in json.loads(swept.out)["rows"]]
    assert {"first", "second", "swiglu"} <= set(names)
    assert names.count("first") == 1
    listed = {row["name"]: row for row in json.loads(cli("variants", "--plugin", str(two), "--json").out)}
    assert listed["first"]["summary"] == "has a neighbour"


def test_one_of_a_file(cli, two, monkeypatch):
    monkeypatch.setenv(FILES_VARIABLE, "")
    planned = cli("sweep", "--plugin", f"{two}:Second", "--executor", "fake", "--shape", "24x16", "--dry-run")
    assert "second/24x16" in planned.out
    assert "first/24x16" not in planned.out


@pytest.mark.parametrize(
    ("source", "wanted", "words"),
    [
        ("import nothing_of_this_name", "", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("def f(:", "", "cannot be loaded: SyntaxError"),
        ("raise SystemExit(3)", "", "cannot be loaded: SystemExit: 3"),
        ("x = 1", "", "cannot be loaded: MglubenchError: there is no Variant in it"),
        ("x = 1", ":y", "plug-in broken.py:y cannot be loaded: AttributeError"),
        ("x = 1", ":x", "plug-in broken.py:x is a int, not a Variant"),
        (TWO.replace('"first"', '"swiglu"'), "", "offers variant 'swiglu', which exists already"),
        (TWO.replace('"relu", "silu"', '"tanh",'), "", "offers a variant of activations ('tanh',); known: silu"),
    ],
)
def test_a_broken_file_is_a_line_a_row_and_a_verdict_and_ends_nothing(
    cli, two, source, wanted, words, tmp_path, monkeypatch
):
    monkeypatch.setenv(FILES_VARIABLE, "")
    (tmp_path / "broken.py").write_text(source.replace("class Abstract(LinearUnit):\n    pass\n", ""))
    given = ("--plugin", "broken.py" + wanted, "--plugin", str(two))
    swept = cli("sweep", *given, *FAKE, "--variants", f"swiglu,first,broken.py{wanted}")
    assert f"warning: plug-in broken.py{wanted} " in swept.err
    assert swept.code == 1
    rows = {row["variant"]: row for row in json.loads(swept.out)["rows"]}
    assert rows["swiglu"]["status"] == rows["first"]["status"] == "ok"
    assert rows[f"broken.py{wanted}"]["status"] == "error"
    assert words in rows[f"broken.py{wanted}"]["reason"]
    listed = {row["name"]: row for row in json.loads(cli("variants", *given, "--json").out)}
    assert words in listed[f"broken.py{wanted}"]["here"]
    assert listed["first"]["available"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere.py", "no plug-in 'nowhere.py'"),
        ("nowhere.py:Class", "no plug-in 'nowhere.py'"),
        ("layers.txt", "plug-in 'layers.txt' is no Python file"),
        ("", "plug-in '' is no Python file"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        *("sweep", "verify", "variants", "repeat", "gate --baseline x", "profile"),
        *("inspect", "tune", "build", "campaign"),
    ],
)
def test_a_file_that_is_not_there_is_bad_input_of_every_command(cli, given, words, command, monkeypatch):
    monkeypatch.setenv(FILES_VARIABLE, "")
    result = cli(*command.split(), "--plugin", given)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {words}")
    assert len(result.err.splitlines()) == 1


OF_ITS_OWN = """
from mglubench.kernels.cpu_choice import CpuKernel
from mglubench.variants.numba_cpu import MGLUNumbaCPU

class Mine(MGLUNumbaCPU):
    name, summary = "mine-cpu", "by a rule of its own"
    kernel = CpuKernel("mine-cpu")
"""
CUDA = """
from mglubench.variants.cuda_kernels import FlashMGLUMma

class Mine(FlashMGLUMma):
    name, summary = "mine-cuda", "by a rule of its own"
"""


def test_kernels_of_a_file_are_inspected_tuned_and_built_like_one_s_own(cli, tmp_path, monkeypatch):
    monkeypatch.setenv(FILES_VARIABLE, "")
    monkeypatch.setenv("MGLUBENCH_TUNING", str(tmp_path / "tuning.json"))
    (tmp_path / "mine.py").write_text(OF_ITS_OWN)
    (tmp_path / "cuda.py").write_text(CUDA)
    seen = cli("inspect", "mine-cpu", "--plugin", "mine.py", "--arch", "here", "--nm", "1", "--json")
    assert [(row["variant"], row["status"]) for row in json.loads(seen.out)] == [("mine-cpu", "ok")]
    asked = ("--device", "cpu", "--shape", "32x16", "--nm", "1", "--seconds", "0.01", "--json")
    tuned = json.loads(cli("tune", "--plugin", "mine.py", *asked).out)
    names = [row["case"].partition("/")[0] for row in tuned]
    assert sorted(names) == sorted(["swiglu-numba-cpu", "mglu-numba-cpu", "mine-cpu"])
    refused = cli("build", "--plugin", "cuda.py", "--variants", "mine-cuda", "--arch", "sm_70")
    assert "unknown variant" not in refused.err
    assert asked_kernels(CudaKernel) == ["mine-cuda"]


def test_a_campaign_names_what_a_file_offers(cli, two, tmp_path, monkeypatch):
    monkeypatch.setenv(FILES_VARIABLE, "")
    step = '[[step]]\nkind = "sweep"\nvariants = ["first"]\nshape = ["24x16"]\nceiling = false\n'
    (tmp_path / "mine.toml").write_text(f'device = "cpu"\n{step}')
    given = ("campaign", "mine.toml", "--executor", "fake", "--out", "there", "--json")
    without = cli(*given)
    assert (without.code, "unknown variant 'first'" in without.err) == (2, True)
    assert cli(*given, "--plugin", str(two)).code == 0
    (rows,) = (tmp_path / "there").rglob("rows.jsonl")
    assert {row["variant"] for row in json.loads(cli("report", str(rows.parent), "--json").out)["rows"]} == {"first"}


def test_from_python_a_file_is_known_for_the_length_of_a_call(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FILES_VARIABLE, raising=False)
    frame = mglubench.sweep(plugin="two.py", variants="first", h=24, d=16, ceiling=False, executor="fake")
    assert frame["variant"].tolist() == ["first"]
    assert mglubench.run("second", plugin=[two], h=24, d=16, executor="fake")["status"] == "ok"
    assert "first" not in variants()
    with pytest.raises(UsageError, match="unknown variant 'first'"):
        mglubench.sweep(variants="first", h=24, d=16, executor="fake")


def test_files_add_up_and_a_name_in_vain_stands_for_what_is_broken(two, tmp_path, monkeypatch):
    monkeypatch.setenv(FILES_VARIABLE, str(two))
    assert name_files([f"{two}:First"]).split(";") == [str(two), f"{two}:First"]
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    with plugin_files(tmp_path / "bad.py"):
        with pytest.warns(UserWarning, match=r"bad\.py cannot be loaded"):
            names = asked_plugins()
        assert names == ("first", "second", "bad.py")
        broken = get_variant("bad.py")
        assert "nothing_of_this_name" in broken_plugins()["bad.py"]
    with pytest.raises(mglubench.MglubenchError, match="nothing_of_this_name"):
        broken.why_unsupported(make_case())
    assert asked_plugins() == ("first", "second")
