"""``flash_mglu`` as a user calls it, against float64; what torch asks of a custom operator; refusals in one line."""

from __future__ import annotations

import copy
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mglubench.cases.case import Case
from mglubench.errors import UsageError
from mglubench.layer.input_set import InputSet
from mglubench.layer.tolerance import TOLERANCES
from mglubench.nn import functional
from mglubench.nn.dense_path import PRODUCTS_FROM, copies_of_lanes, many_on_cpu
from mglubench.nn.functional import PackedWeight, flash_mglu, pack_weight

DTYPES = ("float32", "bfloat16", "float16")


def example(nm: int = 2, dtype: str = "float32", h: int = 37, d: int = 10, batch: int = 3) -> tuple[InputSet, Case]:
    case = Case("mglu-numba-cpu", h, d, nm, batch, dtype, "silu", "bernoulli:0.5")
    return InputSet(case), case


def packed_example(inputs: InputSet, case: Case) -> PackedWeight:
    return pack_weight(inputs.weight, torch.from_numpy(inputs.masks(case.nm)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("nm", "h", "d", "batch"), [(1, 1, 1, 1), (3, 37, 10, 5), (8, 64, 33, 2), (16, 100, 7, 20)])
def test_agrees_with_float64(nm: int, h: int, d: int, batch: int, dtype: str) -> None:
    inputs, case = example(nm, dtype, h, d, batch)
    y = flash_mglu(inputs.x(0), packed_example(inputs, case))
    expected = inputs.reference("mglu", nm, 0)
    assert y.dtype == inputs.dtype
    error = np.linalg.norm(y.double().numpy() - expected) / (np.linalg.norm(expected) or inputs.scale(nm, 0))
    assert error <= TOLERANCES[dtype].relative


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 37), (37,), (2, 3, 37)])
def test_y_goes_where_it_is_wanted(shape: tuple[int, ...], dtype: str) -> None:
    inputs, case = example(dtype=dtype)
    packed = packed_example(inputs, case)
    x = torch.randn(*shape).to(inputs.dtype)
    wanted = flash_mglu(x, packed)
    out = torch.full_like(wanted, 7.0)
    assert flash_mglu(x, packed, out=out) is out
    assert torch.equal(out, wanted)
    apart = torch.full((*wanted.shape, 2), 7.0, dtype=inputs.dtype)
    flash_mglu(x, packed, out=apart[..., 0])
    assert torch.equal(apart[..., 0], wanted)
    assert bool((apart[..., 1] == 7.0).all())


def test_a_graph_that_has_kept_y_s_place_is_told_of_the_change() -> None:
    inputs, case = example()
    packed, x = packed_example(inputs, case), inputs.x(0)
    out, factor = torch.ones(case.batch, case.d), torch.ones(case.batch, case.d, requires_grad=True)
    loss = (out * factor).sum()
    flash_mglu(x, packed, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        flash_mglu(x, packed, out=factor)


@pytest.mark.parametrize("out", [torch.empty(3, 9), torch.empty(10), torch.empty(3, 10, dtype=torch.float64)])
def test_a_place_that_does_not_fit_is_refused(out: torch.Tensor) -> None:
    inputs, case = example()
    with pytest.raises(UsageError, match=r"out must be \[3, 10\] torch.float32 on cpu"):
        flash_mglu(inputs.x(0), packed_example(inputs, case), out=out)


@pytest.mark.parametrize("h", [37, 600, 1024])
def test_many_tokens_go_through_products_that_agree_with_one_pass(h: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(h)
    x, weight = torch.randn(PRODUCTS_FROM["float32"][0], h), torch.randn(10, h) / h**0.5
    packed = pack_weight(weight, torch.rand(1, 10, h) < 0.5)
    expected = torch.cat([flash_mglu(part, packed) for part in x.split(100)])
    with monkeypatch.context() as patched:
        patched.setattr(PackedWeight, "on_cpu", lambda *_: pytest.fail("one pass was taken"))
        out = torch.empty_like(expected)
        assert flash_mglu(x, packed, out=out) is out
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(flash_mglu(x, packed), out)
    traced = torch.compile(flash_mglu, backend="aot_eager", fullgraph=True)(x, packed)
    torch.testing.assert_close(traced, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nm", [1, 3])
def test_masked_copies_come_from_the_words_of_a_kernel(nm: int) -> None:
    weight, masks = torch.randn(6, 1072), torch.rand(nm, 6, 1072) < 0.5
    packed = pack_weight(weight, masks)
    for found, mask in zip(copies_of_lanes(packed.weight, packed.masks, nm), masks, strict=True):
        assert torch.equal(found, weight * mask)


def test_sums_of_sixteen_bit_tokens_stay_wide_however_many_they_are() -> None:
    x = torch.zeros(4096, 16, dtype=torch.bfloat16)
    assert many_on_cpu(x, 1, "same", rounded=True)
    assert not many_on_cpu(x, 1, "same", rounded=False)
    assert not many_on_cpu(x.float(), 1, "int8", rounded=True)
    assert not many_on_cpu(x.float(), 2, "same", rounded=True)


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
def test_activations_are_those_of_torch(activation: str) -> None:
    inputs, case = example()
    masks = torch.from_numpy(inputs.masks(case.nm))
    function = getattr(torch.nn.functional, activation)
    x, weight = inputs.x(0).double(), inputs.weight.double()
    expected = sum(function(x @ (mask * weight).T) * (x @ (~mask * weight).T) for mask in masks)
    y = flash_mglu(inputs.x(0), packed_example(inputs, case), activation)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_weight_that_needs_no_padding_is_shared_with_its_owner_unless_misaligned() -> None:
    inputs, case = example(h=64)
    assert packed_example(inputs, case).weight.data_ptr() == inputs.weight.data_ptr()
    shifted = torch.empty(case.d * case.h + 1)[1:].view(case.d, case.h).copy_(inputs.weight)
    packed = pack_weight(shifted, torch.from_numpy(inputs.masks(case.nm)))
    assert packed.weight.data_ptr() % 16 == 0
    torch.testing.assert_close(flash_mglu(inputs.x(0), packed), flash_mglu(inputs.x(0), packed_example(inputs, case)))
    padded, _ = example(h=37)
    assert packed_example(padded, case).weight.data_ptr() != padded.weight.data_ptr()


def test_leading_dimensions_are_kept_and_x_may_be_strided() -> None:
    inputs, case = example(batch=6)
    packed, x = packed_example(inputs, case), inputs.x(0)
    flat = flash_mglu(x, packed)
    torch.testing.assert_close(flash_mglu(x.reshape(2, 3, -1), packed), flat.reshape(2, 3, -1))
    torch.testing.assert_close(flash_mglu(x[0], packed), flat[0])
    torch.testing.assert_close(flash_mglu(x[::2], packed), flat[::2])
    assert flash_mglu(x[:0], packed).shape == (0, case.d)


def test_a_parameter_can_be_packed() -> None:
    linear = torch.nn.Linear(24, 5, bias=False)
    packed = pack_weight(linear.weight, torch.ones(1, 5, 24, dtype=torch.bool))
    assert torch.equal(flash_mglu(torch.randn(2, 24), packed), torch.zeros(2, 5))
    assert packed.d == 5


def test_masks_take_nm_bits_per_padded_element() -> None:
    inputs, case = example(nm=3, h=48, d=8)
    packed = packed_example(inputs, case)
    assert packed.masks.numel() * 8 == 3 * 48 * 8


@pytest.mark.parametrize("nm", [1, 4])
def test_is_a_well_behaved_operator(nm: int) -> None:
    inputs, case = example(nm)
    packed = packed_example(inputs, case)
    arguments = (inputs.x(0), packed.weight, packed.masks, nm, "silu")
    for operator in (torch.ops.mglubench.flash_mglu, torch.ops.mglubench.flash_mglu_eager):
        torch.library.opcheck(operator.default, arguments)


def test_compiles_without_a_graph_break() -> None:
    inputs, case = example(batch=4)
    packed = packed_example(inputs, case)

    def layer(x: torch.Tensor) -> torch.Tensor:
        return flash_mglu(x * 2, packed) + 1

    backend = "inductor" if shutil.which("g++") else "aot_eager"
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(inputs.x(0)), layer(inputs.x(0)))
    as_argument = torch.compile(flash_mglu, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(as_argument(inputs.x(0), packed), flash_mglu(inputs.x(0), packed))


def test_a_gradient_is_refused_and_not_silently_wrong() -> None:
    inputs, case = example(batch=4)
    packed = packed_example(inputs, case)
    x = inputs.x(0).clone().requires_grad_()
    y = flash_mglu(x, packed)
    torch.testing.assert_close(y.detach(), flash_mglu(inputs.x(0), packed))
    with pytest.raises(RuntimeError, match="backward"):
        y.sum().backward()
    with torch.no_grad():
        assert not flash_mglu(x, packed).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(flash_mglu(x, packed), y.detach())


def test_what_traces_sees_an_operator_and_not_its_arithmetic() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    inputs, case = example(batch=4)
    packed = packed_example(inputs, case)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        y = flash_mglu(mode.from_tensor(inputs.x(0)), packed)
    assert type(y) is not torch.Tensor
    assert y.shape == (4, case.d)


def test_plain_calls_on_a_cpu_need_no_dispatch(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, case = example(batch=4)
    packed, x = packed_example(inputs, case), inputs.x(0)
    expected = functional._eager(x, packed.weight, packed.masks, case.nm, "silu")
    for name in ("_eager", "_operator"):
        monkeypatch.setattr(functional, name, lambda *_: pytest.fail("the operator was dispatched"))
    assert torch.equal(flash_mglu(x, packed), expected)
    assert torch.equal(flash_mglu(torch.nn.Parameter(x, requires_grad=False), packed), expected)
    with torch.no_grad():
        assert torch.equal(flash_mglu(x.clone().requires_grad_(), packed), expected)


def test_who_asks_for_operators_is_shown_one() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    inputs, case = example(batch=4)
    packed, x = packed_example(inputs, case), inputs.x(0)
    seen = []

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with Seeing():
        flash_mglu(x, packed)
    assert "mglubench.flash_mglu_eager.default" in seen
    with torch.autograd.profiler.profile() as profile:
        flash_mglu(x, packed)
    assert "mglubench::flash_mglu_eager" in {event.name for event in profile.function_events}
    traced = torch.jit.trace(lambda x: flash_mglu(x, packed), (x,), check_trace=False)
    assert "mglubench::flash_mglu_eager" in str(traced.graph)


def test_a_copy_of_packed_weights_calls_its_own() -> None:
    inputs, case = example(h=64, batch=4)
    packed, x = packed_example(inputs, case), inputs.x(0)
    before = flash_mglu(x, packed)
    copied = copy.deepcopy(packed)
    copied.weight.zero_()
    assert not flash_mglu(x, copied).any()
    assert torch.equal(flash_mglu(x, packed), before)
    again = pickle.loads(pickle.dumps(packed))
    assert torch.equal(flash_mglu(x, again), before)


def test_several_threads_may_call_at_once() -> None:
    inputs, case = example(h=64, batch=4)
    packed, x = packed_example(inputs, case), inputs.x(0)
    expected = [flash_mglu(x[:tokens], packed) for tokens in (1, 2, 4)]
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(flash_mglu, x[: (1, 2, 4)[turn % 3]], packed) for turn in range(60)]
        for turn, job in enumerate(jobs):
            torch.testing.assert_close(job.result(), expected[turn % 3])


def test_exports_as_one_operator() -> None:
    inputs, case = example(batch=4)

    class Layer(torch.nn.Module):
        packed = packed_example(inputs, case)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return flash_mglu(x, self.packed)

    exported = torch.export.export(Layer(), (inputs.x(0),))
    assert [str(node.target) for node in exported.graph.nodes].count("mglubench.flash_mglu.default") == 1


def test_unfit_values_are_refused_in_one_line() -> None:
    inputs, case = example()
    masks, weight = torch.from_numpy(inputs.masks(case.nm)), inputs.weight
    packed = pack_weight(weight, masks)
    refusals = {
        "x must be": lambda: flash_mglu(torch.randn(2, 5), packed),
        "x is torch.float16": lambda: flash_mglu(torch.randn(2, 37).half(), packed),
        "unknown activation": lambda: flash_mglu(inputs.x(0), packed, "tanh"),
        "masks [nm, d, h]": lambda: pack_weight(weight, masks[:, :3]),
        "dtype float64": lambda: pack_weight(weight.double(), masks),
        "nm must be 1 to 16": lambda: pack_weight(weight, masks.repeat(9, 1, 1)),
        "only 0 and 1": lambda: pack_weight(weight, masks.to(torch.uint8) * 2),
        "no kernel for device": lambda: pack_weight(weight.to("meta"), masks),
    }
    for text, call in refusals.items():
        with pytest.raises(UsageError) as refused:
            call()
        assert text in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("nm", "h", "d", "batch"), [(1, 64, 16, 1), (3, 1000, 33, 5), (8, 2048, 512, 20)])
def test_agrees_with_float64_on_the_gpu(nm: int, h: int, d: int, batch: int, dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU can be used here")
    inputs, case = example(nm, dtype, h, d, batch)
    packed = pack_weight(inputs.weight.cuda(), torch.from_numpy(inputs.masks(case.nm)))
    y = flash_mglu(inputs.x(0).cuda(), packed)
    compiled = torch.compile(lambda x: flash_mglu(x, packed), fullgraph=True)(inputs.x(0).cuda())
    expected = inputs.reference("mglu", nm, 0)
    for result in (y, compiled):
        error = np.linalg.norm(result.cpu().double().numpy() - expected) / np.linalg.norm(expected)
        assert error <= TOLERANCES[dtype].relative
