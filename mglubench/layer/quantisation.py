"""What a weight format costs in accuracy, whatever computes the layer: float64 over original and over stored weights.

It is no error of a kernel, which is judged by the stored weights alone, and is never added to one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mglubench.layer.input_set import InputSet, activate
from mglubench.layer.products import Float64

if TYPE_CHECKING:
    from mglubench.cases.vocabulary import LayerKind


def quantisation_error(inputs: InputSet, layer: LayerKind, nm: int) -> float | None:
    """Relative error of y by the format alone, over sampled rows and the first x.

    ``None`` for weights in full, and where y is not finite.
    """
    dense = inputs.dense
    if dense.format is None:
        return None
    x = dense.x(0).double().numpy().T
    gate = dense.sampled("weight")
    value = dense.sampled("weight_value") if layer == "glu" else gate
    masks = [inputs.mask(i)[gate.rows] for i in range(nm)] if layer == "mglu" else []
    with np.errstate(invalid="ignore"):
        exact = _layer(layer, gate.original, value.original, masks, x, inputs.activation)
        stored = _layer(layer, gate.stored, value.stored, masks, x, inputs.activation)
        size, lost = float(np.linalg.norm(exact)), float(np.linalg.norm(stored - exact))
    if not math.isfinite(lost):
        return None
    return lost / size if size else 0.0


def _layer(
    layer: LayerKind, gate: Float64, value: Float64, masks: list[npt.NDArray[np.bool_]], x: Float64, activation: str
) -> Float64:
    """y of some rows, [rows, tokens]; x is [h, tokens]."""
    if layer == "mglu":
        halves = (((gate * mask) @ x, (gate * ~mask) @ x) for mask in masks)
        return np.asarray(np.sum([activate(one, activation) * two for one, two in halves], axis=0))
    acted = activate(gate @ x, activation)
    return acted * (value @ x) if layer == "glu" else acted
