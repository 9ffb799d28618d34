"""Layers over weights of a format in plain torch: dequantise, then multiply; and torch's own weight-only products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import SAME, WEIGHTS
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.formats.nibble_rows import NibbleFormat
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant
from mglubench.variants.torch_eager import activation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from mglubench.layer.formats.weight_format import Quantised

    Product = Callable[[torch.Tensor], torch.Tensor]

CODED = tuple(name for name in WEIGHTS if name != SAME)
# Columns of a group as torch's int4 product has them, and the rows that it takes at a time.
INT4_GROUP, INT4_ROWS = 128, 16


class _OfFormats(Variant):
    """A baseline that takes weights of a format alone, in fp32: it must be named to be measured."""

    dtypes = ("float32",)
    formats = CODED
    default = False


class SwiGLUDequantise(_OfFormats):
    """The naive way: W is made anew at every call, in fp32; a shorter dtype would round it to another W."""

    name = "swiglu-dequantise"
    summary = "the gated layer over weights of a format: dequantise at every call, then two linear layers"
    layer = "glu"
    method = "steps"

    def declare(self, case: Case) -> Ledger:
        """Codes are read; what they stand for is written and read."""
        ledger = declare("glu", case)
        scratch = 2 * 2 * case.elements * case.itemsize
        return Ledger(ledger.weights, 0, ledger.x, ledger.y, ledger.flops, scratch)

    def prepare(self, problem: Problem) -> Launch:
        """y = g(x Wg^T) * (x Wv^T)."""
        import torch
        from torch.nn.functional import linear

        act, x, y = activation_of(problem.case), problem.x, problem.y
        gate, value = (dequantiser(problem.stored(matrix), x.device) for matrix in ("weight", "weight_value"))

        def launch() -> None:
            torch.mul(act(linear(x, gate())), linear(x, value()), out=y)

        return launch


class MGLUDequantise(_OfFormats):
    """The naive way of a layer with masks: dequantise, then the least that plain torch needs."""

    name = "mglu-dequantise"
    summary = "MGLU over weights of a format: dequantise at every call, then nm + 1 linear layers, value = x W - gate"
    layer = "mglu"
    method = "steps-difference"

    def declare(self, case: Case) -> Ledger:
        """Codes once; nm + 1 times W in full, written and read, and nm masks of its size."""
        matrix = case.elements * case.itemsize
        return declare("mglu", case, mask_bytes=case.nm * matrix, scratch=(case.nm + 1) * 2 * matrix)

    def prepare(self, problem: Problem) -> Launch:
        """Masks are kept in fp32, whose product with W is the quicker one."""
        from torch.nn.functional import linear

        act, x, y = activation_of(problem.case), problem.x, problem.y
        make = dequantiser(problem.stored(), x.device)
        masks = [problem.mask_tensor(i).float() for i in range(problem.case.nm)]

        def launch() -> None:
            weight = make()
            both = linear(x, weight)
            y.zero_()
            for mask in masks:
                gate = linear(x, weight * mask)
                y.addcmul_(act(gate), both - gate)

        return launch


class SwiGLUTorchLowBit(_OfFormats):
    """torch's own products with int8 and int4 weights on a CPU, which dequantise on the way."""

    name = "swiglu-torch-lowbit"
    summary = "the gated layer by torch's weight-only int8 and int4 products (CPU)"
    layer = "glu"
    method = "steps"
    devices = ("cpu",)
    formats = ("int8", "int4")

    def why_unsupported(self, case: Case) -> str | None:
        """torch's int4 product takes whole groups and tiles."""
        if case.weights == "int4" and (case.h % INT4_GROUP or case.d % INT4_ROWS):
            return (
                f"torch's int4 product takes {INT4_GROUP} columns and {INT4_ROWS} rows at a time, not {case.h}x{case.d}"
            )
        return super().why_unsupported(case)

    def why_unavailable(self, device: str) -> str | None:
        """They have no promise of torch's to stay."""
        import torch

        lacking = [name for name in (_INT8, _INT4, _INT4_PACK) if not hasattr(torch.ops.aten, name)]
        return super().why_unavailable(device) or (f"this torch has no {', '.join(lacking)}" if lacking else None)

    def prepare(self, problem: Problem) -> Launch:
        """Two products."""
        import torch

        act, x, y = activation_of(problem.case), problem.x, problem.y
        gate, value = (torch_product(problem.stored(matrix)) for matrix in ("weight", "weight_value"))

        def launch() -> None:
            torch.mul(act(gate(x)), value(x), out=y)

        return launch


_INT8, _INT4, _INT4_PACK = (
    "_weight_int8pack_mm",
    "_weight_int4pack_mm_for_cpu",
    "_convert_weight_to_int4pack_for_cpu",
)


def torch_product(matrix: Quantised) -> Product:
    """x times a matrix by torch's product for its format."""
    import torch

    aten = torch.ops.aten
    if matrix.format.name == "int8":
        codes, scales = matrix.codes.view(torch.int8), matrix.scales[:, 0].contiguous()
        return lambda x: aten._weight_int8pack_mm(x, codes, scales)
    packed = aten._convert_weight_to_int4pack_for_cpu(matrix.codes.int(), 1)
    # Of each group, scale and what is added: codes are taken less 8.
    pairs = torch.stack([matrix.scales.T, torch.zeros_like(matrix.scales.T)], dim=2).contiguous()
    return lambda x: aten._weight_int4pack_mm_for_cpu(x, packed, INT4_GROUP, pairs)


def dequantiser(matrix: Quantised, device: torch.device) -> Callable[[], torch.Tensor]:
    """A function that makes W [d, h] in fp32 from what is stored, two codes of 4 bits a byte."""
    import torch

    form, (d, h) = matrix.format, matrix.codes.shape
    group, scales = form.group_of(h), matrix.scales.to(device)[:, :, None]
    codes = torch.nn.functional.pad(matrix.codes, (0, form.groups(h) * group - h)).to(device)
    if not isinstance(form, NibbleFormat):
        kind = torch.int8 if form.name == "int8" else torch.float8_e4m3fn
        return lambda: codes.view(kind).float() * scales[:, 0]
    pairs, table = codes[:, 0::2] | (codes[:, 1::2] << 4), form.table().to(device)

    def make() -> torch.Tensor:
        values = table[torch.stack([pairs & 15, pairs >> 4], dim=2).view(d, -1).int()]
        return (values.view(d, -1, group) * scales).view(d, -1)[:, :h]

    return make
