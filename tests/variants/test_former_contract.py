"""A variant written for the contract of before (other method names, other import paths) still runs, and is heard."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings

import pytest

import mglubench
from mglubench import former_paths
from mglubench.variants.base import Variant
from mglubench.variants.torch_eager import LinearUnit
from tests.conftest import ROOT, make_case, make_plugin, run_command

# Word for word what the README of before taught, and what its base class let one override.
SOURCE = """
    import torch
    from torch.nn.functional import linear, silu

    from mglubench import Variant
    from mglubench.spec.case import Case
    from mglubench.spec.ledger import Ledger, declare
    from mglubench.spec.problem import Problem


    class HalvesOfOneMatrix(Variant):
        name = "swiglu-my-way"
        summary = "a SwiGLU of my own"
        layer = "glu"                      # what the float64 reference computes: read, lu, glu or mglu

        def unavailable(self, device: str) -> str | None:
            return super().unavailable(device) or ("no GPU for me" if device == "cuda" else None)

        def unsupported(self, case: Case) -> str | None:
            if case.d == 13:
                return "thirteen rows bring bad luck"
            return super().unsupported(case)

        def declare(self, case: Case) -> Ledger:
            return declare("glu", case, scratch=1000)

        def prepare(self, problem: Problem):
            gate, value, x, y = problem.weight, problem.weight_value, problem.x, problem.y

            def launch():
                torch.mul(silu(linear(x, gate)), linear(x, value), out=y)

            return launch
"""


def rows_of(folder):
    return {row["case"]["d"]: row for row in map(json.loads, (folder / "rows.jsonl").read_text().splitlines())}


def test_a_plug_in_of_before_is_listed_verified_and_measured(tmp_path):
    plugin = make_plugin(tmp_path / "site", SOURCE, {"swiglu-my-way": "HalvesOfOneMatrix"})
    for device, here in (("cpu", "yes"), ("cuda", "no GPU for me")):
        listed = run_command("variants", "--json", "--device", device, cwd=tmp_path, env=plugin.env)
        assert listed.code == 0, listed.err
        rows = {row["name"]: row for row in json.loads(listed.out)}
        assert rows["swiglu-my-way"]["here"] == here
        assert listed.err == ""
    shapes = ("--shape", "24x8,24x13", "--variants", "swiglu-my-way", "--no-ceiling", "--max-seconds", "0.05")
    swept = run_command("sweep", *shapes, "--device", "cpu", "--out", "run", cwd=tmp_path, env=plugin.env)
    assert swept.code == 0, swept.err
    rows = rows_of(tmp_path / "run")
    assert (rows[8]["status"], rows[8]["ledger"]["scratch"]) == ("ok", 1000), swept.err
    assert (rows[13]["status"], rows[13]["reason"]) == ("unsupported", "thirteen rows bring bad luck")


@pytest.fixture
def former():
    """A variant of before on top of one of today, and one of today on top of that."""
    with pytest.warns(DeprecationWarning, match=r"Former\.unavailable is named why_unavailable now"):

        class Former(LinearUnit):
            name = "former"

            def unavailable(self, device):
                return super().unavailable(device) or "former says no"

    class Today(Former):
        name = "today"

        def why_unavailable(self, device):
            return "today says no" if device == "cuda" else super().why_unavailable(device)

    return Former(), Today()


def test_both_names_are_one_method_in_every_class(former):
    old, new = former
    assert old.why_unavailable("cpu") == old.unavailable("cpu") == "former says no"
    assert old.why_unavailable("tpu") == "runs on cpu and cuda only"
    assert new.why_unavailable("cpu") == new.unavailable("cpu") == "former says no"
    assert new.why_unavailable("cuda") == new.unavailable("cuda") == "today says no"
    assert old.why_unsupported(make_case(nm=0)) is None
    assert old.unsupported(make_case(nm=17)) == "nm=17 is above 16"


def test_a_mixin_that_is_no_variant_is_heard_too():
    class NeedsLuck:
        def unsupported(self, case):
            return "no luck" if case.d == 13 else super().unsupported(case)

    with pytest.warns(DeprecationWarning, match=r"NeedsLuck\.unsupported is named why_unsupported now"):

        class Lucky(NeedsLuck, LinearUnit):
            name = "lucky"

    assert Lucky().why_unsupported(make_case(d=13)) == "no luck"
    assert Lucky().why_unsupported(make_case(nm=17)) == "nm=17 is above 16"


def test_a_variant_of_today_warns_of_nothing_and_may_keep_both_names():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Both(LinearUnit):
            name = "both"

            def why_unavailable(self, device):
                return "never"

            def unavailable(self, device):
                return self.why_unavailable(device)

        class Neither(Both):
            name = "neither"

    assert Both().unavailable("cpu") == Neither().why_unavailable("cpu") == "never"
    assert Variant.unavailable is Variant.why_unavailable


@pytest.mark.parametrize("path", sorted(path for path, home in former_paths.HOMES.items() if home))
def test_a_path_of_before_is_the_module_of_today(path, monkeypatch):
    monkeypatch.delitem(sys.modules, path, raising=False)
    home = importlib.import_module(former_paths.HOMES[path])
    spec = home.__spec__
    with pytest.warns(DeprecationWarning, match=f"{path} is {home.__name__} now") as caught:
        assert importlib.import_module(path) is home
    assert caught[0].filename == importlib.__file__
    assert home.__spec__ is spec
    assert home.__name__ == former_paths.HOMES[path]


def test_the_ways_to_write_an_import_of_before():
    code = """
import mglubench.spec.ledger
from mglubench.spec import packing
from mglubench.spec.vocabulary import ITEMSIZE
import mglubench.ops as ops
from mglubench import Ledger, flash_mglu, pack
assert mglubench.spec.ledger.Ledger is Ledger and packing.pack is pack and ops.flash_mglu is flash_mglu
try:
    import mglubench.spec.nothing
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "No module named 'mglubench.spec.nothing'\n", done.stderr
    assert "<string>:2: DeprecationWarning: mglubench.spec.ledger is mglubench.layer.declared now" in done.stderr


def test_no_path_of_before_exists_beside_its_alias():
    folder = (ROOT / "mglubench").resolve()
    assert mglubench.__file__ == str(folder / "__init__.py")
    for path in former_paths.HOMES:
        assert not (folder / path.replace(".", "/")).with_suffix(".py").exists()
