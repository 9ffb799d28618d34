"""The whole block of every variant: right in every dtype, wrong where it is wrong, and what it moves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import mglubench
from mglubench.cases.vocabulary import SAME
from mglubench.errors import CaseError
from mglubench.executors.local import LocalSession
from mglubench.layer.block import bound_of, reference_of
from mglubench.layer.input_set import InputSet
from mglubench.variants.base import Variant
from mglubench.variants.registry import added, get_variant, has_masks, variant_of, variants
from tests.conftest import make_case, slow_layer

LAYERS = [name for name, variant in variants().items() if variant.layer not in ("read", "product")]
PLAIN = [name for name in LAYERS if SAME in get_variant(name).formats]
HERE = [name for name in PLAIN if not get_variant(name).why_unavailable("cpu") and "compiled" not in name]


def block_case(name, **changes):
    masked = has_masks(name)
    values = {"h": 72, "d": 41, "batch": 3, "mode": "hot", "block": "mlp", "nm": 3 if masked else 0, **changes}
    return make_case(variant=name, **values)


@pytest.fixture(scope="module")
def session():
    found = LocalSession()
    yield found
    found.close()


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_variant_s_block_is_right(session, name, dtype):
    case = block_case(name, dtype=dtype, activation="gelu" if dtype == "float32" else "silu")
    prepared = session.prepare(case)
    finished = session.finish(case)
    assert max(prepared.check["of_bound"], finished.check["of_bound"]) <= 1
    assert prepared.ledger["y"] == 3 * 72 * case.itemsize


@pytest.mark.parametrize("layer", ["lu", "glu", "mglu"])
def test_the_reference_is_the_formula(layer):
    case = block_case({"lu": "lu", "glu": "swiglu", "mglu": "mglu-naive"}[layer], h=24, d=10)
    inputs = InputSet(case)
    dense = inputs.dense
    weights = [matrix.double().numpy() for matrix in (dense.weight, dense.weight_value, dense.weight_down)]
    for fresh in (0, 1):
        x, masks = dense.x(fresh).double().numpy(), inputs.masks(case.nm) if case.nm else np.empty(0)
        inner = slow_layer(layer, x, weights[0], weights[1], masks, case.activation)
        np.testing.assert_allclose(reference_of(inputs, case, layer, fresh), inner @ weights[2].T, rtol=1e-12)


def test_the_bound_holds_every_token_and_is_no_wider_than_it_need_be():
    """What a block in torch is off by comes near the bound and stays below it."""
    shares = []
    for dtype in ("float32", "bfloat16", "float16"):
        case = block_case("swiglu", h=256, d=512, batch=4, dtype=dtype)
        inputs = InputSet(case)
        x, dense = inputs.x(0), inputs.dense
        inner = torch.nn.functional.silu(x @ dense.weight.T) * (x @ dense.weight_value.T)
        y = (inner @ dense.weight_down.T).double().numpy()
        found = bound_of(inputs, case, "glu", "steps", 0, most=2)
        assert found.limit.shape == (2, 256)
        assert set(map(np.shape, found.shapes.values())) == {(2, 256)}
        error = np.abs(y - reference_of(inputs, case, "glu", 0))[:2]
        shares.append(float((error / found.limit).max()))
    assert all(0.05 < share < 1 for share in shares), shares


class Wrong(Variant):
    name = "wrong-layer"
    summary = "a SwiGLU with another activation"
    layer = "glu"

    def prepare(self, problem):
        gate, value, x, y = problem.weight, problem.weight_value, problem.x, problem.y

        def launch():
            y.copy_(torch.nn.functional.gelu(x @ gate.T, approximate="tanh") * (x @ value.T))

        return launch


class Lazy(Wrong):
    name = "lazy-layer"
    summary = "leaves a row out"

    def prepare(self, problem):
        layer, y = super().prepare(dataclasses.replace(problem, y=problem.y.clone())), problem.y

        def launch():
            layer()
            y[:, 1:] = 0

        return launch


@pytest.mark.parametrize("variant", [Wrong(), Lazy()], ids=["other activation", "unwritten row"])
def test_a_block_of_a_wrong_layer_is_wrong(session, variant):
    with added(variant), pytest.raises(CaseError) as caught:
        session.prepare(block_case(variant.name, activation="gelu"))
    assert caught.value.status == "wrong"


def test_who_changes_the_down_projection_is_caught_and_it_is_put_right(session):
    class Spoiler(Wrong):
        name = "spoiler"

        def prepare(self, problem):
            problem.weight_down.mul_(2)
            return super().prepare(problem)

    with added(Spoiler()), pytest.raises(CaseError, match="changed weight_down"):
        session.prepare(block_case("spoiler"))
    session.prepare(block_case("swiglu"))
    session.abandon(block_case("swiglu"))


def test_a_block_declares_the_down_projection_and_what_lies_between():
    case = block_case("mglu-numba-cpu", h=64, d=48, batch=2, nm=2)
    layer, block = (variant_of(c).declare(c) for c in (dataclasses.replace(case, block="layer"), case))
    assert block.weights == layer.weights + 64 * 48 * 4
    assert (block.masks, block.x, block.y) == (layer.masks, layer.x, 2 * 64 * 4)
    assert block.scratch == layer.scratch + 2 * 2 * 48 * 4
    assert block.flops == layer.flops + 2 * 64 * 48 * 2
    resident = [variant_of(c).resident_bytes(c) for c in (dataclasses.replace(case, block="layer"), case)]
    assert resident[1] == resident[0] + 64 * 48 * 4 + 2 * 48 * 4


def test_what_is_no_block_is_refused():
    for name, words in (("stream-read", "computes no layer"), ("matrix-product", "computes no layer")):
        assert words in variant_of(block_case(name)).why_refused(block_case(name))
    case = block_case("swiglu", weights="int8")
    assert "no weights in int8" in variant_of(case).why_refused(case)
    many = block_case("lu", batch=5000)
    assert variant_of(many).why_refused(many) == "batch=5000 is above 1024"


def test_a_sweep_walks_both_and_holds_blocks_against_blocks(tmp_path):
    frame = mglubench.sweep(
        h=24, d=16, nm=2, block=["layer", "mlp"], variants="swiglu,mglu-naive", executor="fake", out=tmp_path / "run"
    )
    blocks = frame[frame["block"] == "mlp"]
    assert sorted(blocks["variant"]) == ["mglu-naive", "swiglu"]
    assert all(key.endswith("/block-mlp") for key in blocks["key"])
    assert blocks.loc[blocks["variant"] == "swiglu", "vs_glu"].item() == 1
    titles = list(mglubench.tables(frame))
    assert sum(", block mlp" in title for title in titles) == 2
    assert not any("/block" in key for key in frame.loc[frame["block"] == "layer", "key"])
