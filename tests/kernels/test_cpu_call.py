"""Calls of the CPU kernels: what is kept between them, what must not leak from one to the next, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch

from mglubench.kernels import cpu_call, cpu_choice
from mglubench.kernels.cpu_call import LAYOUT, ROW_MULTIPLE, glu_call, mglu_call, row_sums_call
from mglubench.kernels.cpu_layers import _stored
from mglubench.kernels.on_device import pad_columns
from mglubench.layer.masks import pack
from tests.conftest import slow_layer

DTYPES = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


class Layer:
    """A small layer with its call and its answer from the formula."""

    def __init__(self, h: int, d: int, nm: int, dtype: torch.dtype, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.weight = (torch.randn(d, h, generator=generator) / h**0.5).to(dtype)
        self.masks = torch.rand(nm, d, h, generator=generator) < 0.5
        packed = torch.from_numpy(pack(self.masks.numpy(), LAYOUT).data)
        self.call = mglu_call(pad_columns(self.weight, ROW_MULTIPLE), packed, nm, "silu")

    def x(self, tokens: int, seed: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(tokens, self.weight.shape[1], generator=generator).to(self.weight.dtype)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.full((x.shape[0], self.weight.shape[0]), float("nan"), dtype=x.dtype)
        self.call(x, y)
        return y

    def is_right(self, y: torch.Tensor, x: torch.Tensor) -> bool:
        weight = self.weight.double().numpy()
        expected = slow_layer("mglu", x.double().numpy(), weight, weight, self.masks.numpy(), "silu")
        error = np.linalg.norm(y.double().numpy() - expected) / np.linalg.norm(expected)
        return bool(error <= DTYPES[x.dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("h", "d", "nm", "tokens"), [(64, 33, 2, 8), (37, 10, 3, 5)])
def test_any_number_of_tokens_through_one_call(dtype: torch.dtype, h: int, d: int, nm: int, tokens: int) -> None:
    layer = Layer(h, d, nm, dtype)
    for count in (tokens, 1, tokens):
        x = layer.x(count, seed=count)
        assert layer.is_right(layer.run(x), x)
    assert layer.run(layer.x(0)).shape == (0, d)


def test_bf16_is_widened_where_the_processor_cannot_add_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_choice, "adds_pairs", lambda: False)
    monkeypatch.setattr(cpu_choice.MGLU, "_shapes", {})
    layer = Layer(560, 5, 2, torch.bfloat16)
    x = layer.x(3)
    assert not cpu_choice.MGLU.shape(cpu_choice.MGLU.job(560, 5, 2, 3, "bfloat16")).dots
    assert layer.is_right(layer.run(x), x)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_token_does_not_reach_the_next_call_whose_rows_are_as_long(bad: float) -> None:
    # 40 and 33 columns are both padded to 48: what one call wrote beyond column 33 is not the other's padding.
    wide, narrow = Layer(40, 6, 2, torch.float32), Layer(33, 6, 2, torch.float32)
    wide.run(torch.full((5, 40), bad))
    x = narrow.x(5)
    assert narrow.is_right(narrow.run(x), x)
    fewer = wide.x(3)
    assert wide.is_right(wide.run(fewer), fewer)


def test_scratch_is_kept_for_the_next_call_of_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer(37, 10, 1, torch.bfloat16)
    x = layer.x(3)
    layer.run(x)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: pytest.fail("scratch was allocated again"))
    assert layer.is_right(layer.run(x), x)


def test_bf16_is_stored_as_torch_rounds_it() -> None:
    import numba

    store = _stored(True)

    def all_of(values: np.ndarray, out: np.ndarray) -> None:
        for lane in range(values.size):
            out[lane] = store(values, lane)

    special = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 3.4e38, 1e-40, 1.00390625, 1.01171875]
    values = torch.cat([torch.randn(2000) * 10 ** (4 * torch.randn(2000)), torch.tensor(special)])
    out = np.empty(values.numel(), np.uint16)
    numba.njit(all_of)(values.numpy(), out)
    # Which NaN it is differs within torch itself, by where in a vector it stands.
    found, expected = torch.from_numpy(out.view(np.int16)), values.bfloat16()
    assert ((found == expected.view(torch.int16)) | (found.view(torch.bfloat16).isnan() & expected.isnan())).all()


def test_scratch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = cpu_call._Scratch()
    kept = scratch.get("x", 1, 2, 2)
    assert scratch.get("x", 1, 2, 2) is kept
    for rows in range(2, 2 + cpu_call.SCRATCH_KEPT):
        scratch.get("x", rows, 2, 2)
    assert scratch.get("x", 1, 2, 2) is not kept
    monkeypatch.setattr(cpu_call, "SCRATCH_ELEMENTS", 10)
    assert scratch.get("x", 6, 2, 2) is not scratch.get("x", 50, 2, 2)
    assert scratch.get("x", 50, 2, 2) is not scratch.get("x", 50, 2, 2)


@pytest.mark.parametrize("x_of", [lambda x: x.t().contiguous().t(), lambda x: x.clone().requires_grad_()])
def test_x_may_be_strided_or_want_a_gradient(x_of: Callable[[torch.Tensor], torch.Tensor]) -> None:
    layer = Layer(64, 5, 2, torch.float32)
    x = x_of(layer.x(4))
    y = torch.empty(4, 10)[:, ::2]
    layer.call(x, y)
    assert layer.is_right(y, x.detach())


def test_the_other_calls() -> None:
    first, second = Layer(37, 10, 1, torch.float16), Layer(37, 10, 1, torch.float16, seed=5)
    gate, value = (pad_columns(layer.weight, ROW_MULTIPLE) for layer in (first, second))
    x, y, sums = first.x(3), torch.empty(3, 10, dtype=torch.float16), torch.empty(10)
    glu_call(gate, value, "gelu")(x, y)
    wide = [tensor.double().numpy() for tensor in (x, first.weight, second.weight)]
    expected = slow_layer("glu", *wide, first.masks.numpy(), "gelu")
    assert np.linalg.norm(y.double().numpy() - expected) / np.linalg.norm(expected) < 2e-3
    row_sums_call(gate)(sums)
    torch.testing.assert_close(sums, first.weight.float().sum(dim=1), rtol=1e-4, atol=1e-4)


def test_two_threads_call_at_once() -> None:
    layers = [Layer(64, 33, 2, torch.float32), Layer(37, 20, 3, torch.bfloat16), Layer(64, 33, 2, torch.bfloat16)]
    for layer in layers:
        layer.run(layer.x(3))
    wrong: list[str] = []
    start = threading.Barrier(len(layers))

    def work(number: int) -> None:
        start.wait()
        for turn in range(24):
            layer = layers[(number + turn) % len(layers)]
            x = layer.x(3 + turn % 2, seed=100 * number + turn)
            if not layer.is_right(layer.run(x), x):
                wrong.append(f"thread {number}, turn {turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(layers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(("name", "locked"), [("workqueue", True), ("omp", False), ("tbb", False), (None, True)])
def test_launches_take_turns_where_the_threading_layer_asks_for_it(
    name: str | None, locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.np.ufunc import parallel

    def layer() -> str:
        if name is None:
            raise ValueError("Threading layer is not initialized.")
        return name

    monkeypatch.setattr(cpu_call, "_layer", None)
    monkeypatch.setattr(parallel, "threading_layer", layer)
    held: AbstractContextManager[object] = cpu_call._alone()
    assert (held is cpu_call._LOCK) == locked
