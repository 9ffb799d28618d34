"""Variants by name: the built-in ones, and those of other people's packages."""

from __future__ import annotations

import json

import pytest

from mglubench.cases.vocabulary import ITEMSIZE, LAYERS
from mglubench.errors import UsageError
from mglubench.variants.base import Variant
from mglubench.variants.registry import get_variant, has_masks, variants
from tests.conftest import make_case, make_plugin, run_command

SOURCE = """
    from mglubench.variants.torch_eager import LinearUnit

    class Mine(LinearUnit):
        name = "mine"
        summary = "someone else's"

    INSTANCE = type("Other", (LinearUnit,), {"name": "an-instance"})()

    class Taken(LinearUnit):
        name = "swiglu"

    NUMBER = 42

    def broken():
        pass

    class Explodes(LinearUnit):
        name = "explodes"
        def __init__(self):
            raise RuntimeError("first line\\nsecond line")
"""


@pytest.mark.parametrize("name", sorted(variants()))
def test_every_variant_says_what_it_is(name):
    variant = get_variant(name)
    assert isinstance(variant, Variant)
    assert variant.name == name == name.lower()
    assert variant.summary
    assert "\n" not in variant.summary
    assert variant.layer in LAYERS
    assert set(variant.dtypes) <= set(ITEMSIZE)
    assert set(variant.devices) <= {"cpu", "cuda"}
    assert variant.devices
    assert (variant.layer == "mglu") == has_masks(name)


@pytest.mark.parametrize("name", sorted(variants()))
def test_declared_bytes_are_at_least_what_the_layer_needs(name):
    variant = get_variant(name)
    masked = variant.layer == "mglu"
    for dtype in variant.dtypes:
        case = make_case(variant=name, h=256, d=64, nm=min(4, variant.nm_max) if masked else 0, dtype=dtype)
        ledger = variant.declare(case)
        assert ledger.total >= case.elements * case.itemsize
        assert ledger.masks + ledger.scratch + ledger.weights >= case.elements * (case.itemsize + case.nm / 8)
        assert variant.resident_bytes(case) > 0


def test_an_unknown_variant_gets_near_matches():
    with pytest.raises(UsageError, match=r"unknown variant 'mglu-niave'; did you mean mglu-naive"):
        get_variant("mglu-niave")


def test_a_variant_refuses_what_it_cannot_compute():
    variant = get_variant("lu")
    assert variant.why_unsupported(make_case(nm=0, batch=5000)) == "batch=5000 is above 1024"
    assert variant.why_unsupported(make_case(nm=17)) == "nm=17 is above 16"
    assert "dtype float8" in variant.why_unsupported(make_case(dtype="float8"))
    assert variant.why_unsupported(make_case()) is None
    assert get_variant("mglu-numba-cpu").why_unavailable("cuda") == "runs on cpu only"


def test_an_installed_package_adds_classes_and_instances(tmp_path):
    plugin = make_plugin(tmp_path / "site", SOURCE, {"mine": "Mine", "other": "INSTANCE"})
    listed = run_command("variants", "--json", "--device", "cpu", cwd=tmp_path, env=plugin.env)
    rows = {row["name"]: row for row in json.loads(listed.out)}
    assert rows["mine"]["summary"] == "someone else's"
    assert rows["mine"]["available"]
    assert "an-instance" in rows
    planned = run_command(
        "sweep", "--executor", "fake", "--shape", "8x8", "--dry-run", "--no-ceiling", cwd=tmp_path, env=plugin.env
    )
    assert "mine/8x8" in planned.out


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("Nothing", "entry point 'it' of group mglubench.variants cannot be loaded: AttributeError"),
        ("Explodes", "cannot be loaded: RuntimeError: first line"),
        ("NUMBER", "is a int, not a Variant"),
        ("broken", "is a function, not a Variant"),
        ("Taken", "offers variant 'swiglu', which exists already"),
    ],
)
def test_a_broken_entry_point_is_one_clear_line(tmp_path, entry, words):
    plugin = make_plugin(tmp_path / "site", SOURCE, {"it": entry})
    result = run_command("sweep", "--executor", "fake", "--shape", "8x8", cwd=tmp_path, env=plugin.env)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert words in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_package_that_cannot_be_imported_is_named(tmp_path):
    plugin = make_plugin(tmp_path / "site", "import nothing_of_this_name", {"it": "Any"})
    result = run_command("variants", cwd=tmp_path, env=plugin.env)
    assert result.code == 2
    assert "No module named 'nothing_of_this_name'; fix or uninstall the package that offers it" in result.err
