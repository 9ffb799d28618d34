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

    class Leaves(LinearUnit):
        name = "leaves"
        def __init__(self):
            raise SystemExit(3)

    class Nameless(LinearUnit):
        name = None

    class Coloured(LinearUnit):
        name = "\x1b[31mred"

    class Strange(LinearUnit):
        name = "strange"
        layer = "onion"

    class Silent(LinearUnit):
        name = "silent"
        def why_unavailable(self, device):
            raise RuntimeError("no answer")

    class Greedy(LinearUnit):
        name = "greedy"
        def resident_bytes(self, case):
            raise RuntimeError("no answer")

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


BROKEN = {
    "Nothing": "entry point 'it-Nothing' of group mglubench.variants cannot be loaded: AttributeError",
    "Explodes": "cannot be loaded: RuntimeError: first line",
    "Leaves": "cannot be loaded: SystemExit: 3",
    "Nameless": "offers a variant without a name",
    "Coloured": "whose name 'red' has characters that no name may have",
    "Strange": "of an unknown layer 'onion'",
    "NUMBER": "is a int, not a Variant",
    "broken": "is a function, not a Variant",
    "Taken": "offers variant 'swiglu', which exists already",
}


def test_broken_entry_points_are_warnings_lines_and_rows_where_they_are_named(tmp_path):
    plugin = make_plugin(tmp_path / "site", SOURCE, {f"it-{name}": name for name in BROKEN} | {"mine": "Mine"})
    fake = ("sweep", "--executor", "fake", "--shape", "8x8", "--dry-run")
    result = run_command(*fake, cwd=tmp_path, env=plugin.env)
    assert result.code == 0
    assert "mine/8x8" in result.out
    (*warnings, counted) = result.err.splitlines()
    assert "nothing measured" in counted
    assert len(warnings) == len(BROKEN)
    assert all(warning.startswith("warning: entry point") for warning in warnings)
    for words in BROKEN.values():
        assert sum(words in warning for warning in warnings) == 1
    listed = run_command("variants", "--json", "--device", "cpu", cwd=tmp_path, env=plugin.env)
    rows = {row["name"]: row for row in json.loads(listed.out)}
    for name, words in BROKEN.items():
        assert words in rows[f"it-{name}"]["here"]
        assert not rows[f"it-{name}"]["available"]
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    named = ("sweep", "--executor", "fake", "--shape", "8x8", "--variants", "lu,it-Explodes", "--no-ceiling", "--json")
    swept = run_command(*named, cwd=tmp_path, env=plugin.env)
    assert swept.code == 1
    rows = {row["variant"]: row for row in json.loads(swept.out)["rows"]}
    exploded = rows["it-Explodes"]
    assert [rows["lu"]["status"], exploded["status"]] == ["ok", "error"]
    assert exploded["reason"].startswith("entry point")
    assert BROKEN["Explodes"] in exploded["reason"]


def test_a_package_that_cannot_be_imported_is_named(tmp_path):
    plugin = make_plugin(tmp_path / "site", "import nothing_of_this_name", {"it": "Any"})
    result = run_command("variants", cwd=tmp_path, env=plugin.env)
    assert result.code == 0
    assert "No module named 'nothing_of_this_name'; fix or uninstall the package that offers it" in result.err
    assert "swiglu-merged" in result.out


def test_a_variant_that_cannot_say_whether_it_runs_is_left_out_with_that_reason(tmp_path):
    plugin = make_plugin(tmp_path / "site", SOURCE, {"silent": "Silent", "greedy": "Greedy"})
    listed = run_command("variants", "--json", "--device", "cpu", cwd=tmp_path, env=plugin.env)
    rows = {row["name"]: row for row in json.loads(listed.out)}
    assert rows["silent"]["here"] == "it cannot say whether it runs here: RuntimeError: no answer"
    sweep = ("sweep", "--shape", "8x8", "--variants", "lu,silent,greedy", "--no-ceiling", "--max-seconds", "0.01")
    swept = run_command(*sweep, "--json", cwd=tmp_path, env=plugin.env)
    rows = {row["variant"]: (row["status"], row["reason"]) for row in json.loads(swept.out)["rows"]}
    assert rows["lu"] == ("ok", "")
    assert rows["silent"][0] != "ok"
    assert "no answer" in rows["silent"][1]
    assert rows["greedy"] == ("error", "RuntimeError: no answer")


def test_a_variant_that_does_not_know_a_weight_format_says_so():
    case = make_case(variant="mglu-naive", weights="int4")
    assert get_variant("mglu-naive").why_refused(case) == "weights int4 are not among same"
    assert get_variant("mglu-naive").why_refused(make_case()) is None
