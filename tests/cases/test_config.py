"""Sweep files: complaints name file, line and key; the shipped ones are right."""

from __future__ import annotations

import csv
import re

import pytest

from mglubench.cases.config import build_spec, find_sweep, merged_spec, read_sweep
from mglubench.errors import ConfigError, UsageError
from mglubench.system.resources import data_folder
from mglubench.variants.registry import check_names
from tests.conftest import ROOT

SHIPPED = ("quick", "paper", "batch", "llms", "lowbit")


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_spec(tmp_path):
    path = write(tmp_path, 'shape = ["64x96"]\nnm = [1, 3]\nmode = "hot"\nmax_seconds = 0.5\nceiling = false\n')
    spec = build_spec(read_sweep(path))
    assert spec.name == "mine"
    assert spec.shapes == ((64, 96),)
    assert spec.nm == (1, 3)
    assert spec.lists["mode"] == ("hot",)
    assert spec.measure.max_seconds == 0.5
    assert spec.ceiling is False


@pytest.mark.parametrize(
    ("text", "line", "key", "complaint"),
    [
        ("h = [64]\n\n# more\nnn = [1]\n", 4, "nn", "unknown key 'nn'; did you mean nm"),
        ('name = "a"\nnm = [1, 17]\n', 2, "nm", "nm is 17"),
        ("h = [1, 2]\nd = [1, 2, 3]\n", 1, "h", "--h has 2 values and --d has 3"),
        ('dtype = "fp31"\n', 1, "dtype", "unknown dtype"),
        ("\n\nmax_seconds = true\n", 3, "max_seconds", "must be a number"),
        ("seed = 1.5\n", 1, "seed", "whole number"),
        ("[nm]\na = 1\n", 1, "nm", "nm"),
        ("[measure]\nseed = 1\n", 1, "measure", "unknown key 'measure'"),
        ("nm = [1]\n'max_seconds' = 'x'\n", 2, "max_seconds", "must be a number"),
        ("min_samples = 20\nmax_samples = 10\n", 1, "min_samples", "min-samples is 20"),
    ],
)
def test_a_bad_key_is_named_with_file_and_line(tmp_path, text, line, key, complaint):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert repr(key) in message
    assert complaint in message


@pytest.mark.parametrize(
    ("text", "line"),
    [("nm = [1\n", 1), ("h = 1\nnm = = 2\n", 2), ("h = 1\nh = 2\n", 2), ('h = 1\n\nname = "un\n', 3), ("h\n", 1)],
)
def test_broken_syntax_names_file_and_line(tmp_path, text, line):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(str(path))
    assert re.search(rf"line {line}\b", str(caught.value))


def test_a_byte_order_mark_is_no_part_of_a_sweep(tmp_path):
    path = tmp_path / "bom.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "x"\nh = [256]\nd = [96]\n')
    assert build_spec(read_sweep(path)).shapes == ((256, 96),)
    path.write_bytes(b"\xef\xbb\xbfnn = 1\n")
    with pytest.raises(ConfigError, match="line 1: unknown key 'nn'"):
        read_sweep(path)


@pytest.mark.parametrize(
    ("value", "complaint"), [('["lu", "lux"]', "'lux'; did you mean lu"), ('"auto,-swiglo"', "'swiglo'")]
)
def test_an_unknown_variant_is_named_with_file_and_line(tmp_path, value, complaint):
    path = write(tmp_path, f"nm = [1]\n\nvariants = {value}\n")
    with pytest.raises(ConfigError) as caught:
        merged_spec({}, str(path), check_names)
    assert str(caught.value).startswith(f"{path}, line 3: key 'variants': unknown variant {complaint}")
    assert read_sweep(path)["variants"]


def test_limits_that_belong_together_are_judged_together(tmp_path):
    many = read_sweep(write(tmp_path, "min_samples = 2000\nmax_samples = 5000\n"))
    assert build_spec(many).measure.min_samples == 2000
    few = read_sweep(write(tmp_path, "max_samples = 5\nmin_samples = 3\n"))
    assert build_spec(few).measure.max_samples == 5


def test_a_shape_beside_h_names_the_file(tmp_path):
    path = write(tmp_path, 'h = [64]\nshape = ["64x96"]\n')
    with pytest.raises(ConfigError, match=r"either --shape, or --h and --d"):
        read_sweep(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        read_sweep(path)


@pytest.mark.parametrize("name", ["nowhere.toml", "", "up/paper.toml", "a" * 300])
def test_a_sweep_that_is_not_there_lists_the_shipped_ones(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"shipped sweeps: .*paper"):
        find_sweep(name)


@pytest.mark.parametrize("name", ["paper", "paper.toml", "sweeps/paper.toml"])
def test_shipped_sweeps_are_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_sweep(name) == data_folder("sweeps") / "paper.toml"


def test_a_file_of_the_user_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = write(tmp_path, "nm = [1]\n")
    assert find_sweep("mine.toml").resolve() == own


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sweeps_parse(name):
    spec = build_spec(read_sweep(find_sweep(name)))
    assert spec.name == name
    assert spec.shapes


def test_every_shipped_file_is_known():
    assert {path.stem for path in (ROOT / "sweeps").glob("*.toml")} - {"campaign"} == set(SHIPPED)


def test_the_paper_sweep_has_exactly_the_papers_cells():
    with (ROOT / "sweeps" / "paper_tables.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    spec = build_spec(read_sweep(find_sweep("paper")))
    assert set(spec.shapes) == {(int(row["h"]), int(row["d"])) for row in rows}
    assert set(spec.nm) == {int(row["nm"]) for row in rows if row["nm"]}
    assert spec.batch == (1,)
    assert spec.lists["activation"] == ("silu",)


def test_the_shapes_of_models_name_their_sources():
    text = (ROOT / "sweeps" / "llms.toml").read_text()
    spec = build_spec(read_sweep(find_sweep("llms")))
    for h, d in spec.shapes:
        line = next(line for line in text.splitlines() if f"{h}x{d}" in line)
        assert "#" in line, f"{h}x{d} has no source beside it"


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, "9" * 5000, "0x" + "f" * 5000, "1979-02-31"])
def test_a_value_that_the_parser_chokes_on_is_our_error(tmp_path, value):
    """Python's parser lets its own RecursionError and ValueError through."""
    path = write(tmp_path, f"nm = {value}\n")
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        read_sweep(path)
