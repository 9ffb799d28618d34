"""The whole feed-forward block: a layer of any kind, and the down projection behind it.

    y = layer(x) Wd^T        Wd [h, d], standard deviation 1/sqrt(d), in the dtype of x; y [batch, h]

The layer's output lies in memory between the two, in the layer's dtype: its rounding errors, whatever the method, go
through Wd, where those of d rows add up as independent ones do, and the sums of the product have errors of their own.
Beside what the layer declares a block reads Wd, writes the layer's output and reads it again, and takes 2 d h FLOPs a
token more.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import LAYER, LayerKind
from mglubench.layer.declared import Ledger
from mglubench.layer.input_set import InputSet, Terms
from mglubench.layer.products import Float64, Sums
from mglubench.layer.rounding import Bound, bound, deviates_of


def layer_case(case: Case) -> Case:
    """The same case without the down projection."""
    return dataclasses.replace(case, block=LAYER)


def declare_block(layer: Ledger, case: Case) -> Ledger:
    """What a block moves and computes, from what its layer does."""
    between = case.batch * case.d * case.itemsize
    return dataclasses.replace(
        layer,
        weights=layer.weights + case.elements * case.itemsize,
        y=case.batch * case.h * case.itemsize,
        flops=layer.flops + 2 * case.elements * case.batch,
        scratch=layer.scratch + 2 * between,
    )


def reference_of(inputs: InputSet, case: Case, layer: LayerKind, fresh: int) -> Float64:
    """y of a case in float64, [batch, columns of y], for the fresh-th x."""
    inner = inputs.reference(layer, case.nm, fresh)
    return inner if case.block == LAYER else _through(inner, inputs)


def scale_of(inputs: InputSet, case: Case, fresh: int) -> float:
    """Size that an error is held against where the reference is exactly zero."""
    scale = inputs.scale(case.nm, fresh)
    return scale if case.block == LAYER else scale * math.sqrt(case.h / case.d)


def bound_of(inputs: InputSet, case: Case, layer: LayerKind, method: str, fresh: int, most: int) -> Bound:
    """Errors that rounding explains, of so many tokens at most, for a layer computed by this method."""
    terms = inputs.terms(layer, case.nm, fresh, most=most)
    inner = bound(terms, method, case.dtype, case.activation, case.device_kind)
    if case.block == LAYER:
        return inner
    y = inputs.reference(layer, case.nm, fresh)[: len(inner.limit)]
    sums = Sums(_through(y, inputs).T, _through(y**2, inputs, squared=True).T)
    product = bound(Terms("product", case.d, sums, []), "steps", case.dtype, case.activation, case.device_kind)
    spread = np.sqrt(_through(inner.spread**2, inputs, squared=True))
    drift = np.sqrt(_through(inner.drift**2, inputs, squared=True))
    # Few rows may be off by the most that each can be; of many, errors make up for each other.
    carried = np.minimum(_through(inner.limit, inputs, sizes=True), deviates_of(1.0) * spread)
    shapes = {name: _through(shape, inputs) for name, shape in inner.shapes.items()}
    return Bound(product.limit + carried, np.hypot(product.spread, spread), product.drift + drift, shapes)


def _through(values: Float64, inputs: InputSet, *, squared: bool = False, sizes: bool = False) -> Float64:
    """values Wd^T, [tokens, h], in float64; by the squares of Wd's elements, or by their sizes, if asked for."""
    import torch

    down = inputs.dense.weight_down
    out = np.empty((len(values), len(down)))
    columns = torch.from_numpy(np.ascontiguousarray(values.T))
    rows = max(1, (1 << 20) // down.shape[1])
    for start in range(0, len(down), rows):
        block = down[start : start + rows].double()
        block = block.square_() if squared else block.abs_() if sizes else block
        out[:, start : start + rows] = (block @ columns).numpy().T
    return out
