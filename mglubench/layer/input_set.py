"""What all cases of a setting share: inputs, masks, and what the answer is in float64.

Mask i of a problem does not depend on nm: a sweep over nm shares weights, masks and partial references.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import LayerKind
from mglubench.layer.dense_inputs import DenseInputs
from mglubench.layer.drawing import dense_key
from mglubench.layer.products import Float64, Sums
from mglubench.system.sealed import SealedMemory

if TYPE_CHECKING:
    import torch


class Terms(NamedTuple):
    """What an output is made of; every array is [d, tokens].

    Attributes:
        h: products per sum. total: x W (of a GLU, the gate; of a read, the row's sum). pairs: gate and value, per mask.
    """

    layer: LayerKind
    h: int
    total: Sums
    pairs: list[tuple[Sums, Sums]]


class InputSet:
    """Dense inputs with the masks of one distribution: what all cases of one setting and mask distribution share.

    Masks and float64 projections are made when first asked for and kept.

    Args:
        dense: weights and x to share with other mask distributions; made afresh if left out.
        source: an input set whose masks are copied instead of drawn.
    """

    def __init__(self, case: Case, dense: DenseInputs | None = None, source: InputSet | None = None) -> None:
        self.dense = dense or DenseInputs(case)
        self._source = source
        self.activation = case.activation
        self.mask_name = case.mask
        self._masks: list[npt.NDArray[np.bool_]] = []
        self._halves: list[tuple[Sums, Sums]] = []
        # By what they hold and the number of the copy; gone with the last case that uses them.
        self._in_common: WeakValueDictionary[tuple[str, int], torch.Tensor] = WeakValueDictionary()

    @property
    def dtype(self) -> torch.dtype:
        """dtype of W, x and y."""
        return self.dense.dtype

    @property
    def weight(self) -> torch.Tensor:
        """W, [d, h]; the gate matrix Wg of a GLU."""
        return self.dense.weight

    @property
    def weight_value(self) -> torch.Tensor:
        """Wv of a GLU, [d, h]."""
        return self.dense.weight_value

    def x(self, fresh: int) -> torch.Tensor:
        """The fresh-th independent x, [batch, h]."""
        return self.dense.x(fresh)

    def masks(self, nm: int) -> npt.NDArray[np.bool_]:
        """Boolean masks [nm, d, h]; True sends an element to the gate."""
        return np.stack([self.mask(i) for i in range(nm)])

    def mask(self, i: int) -> npt.NDArray[np.bool_]:
        """Mask i, [d, h]."""
        while len(self._masks) <= i:
            made = len(self._masks)
            self._masks.append(self._true_mask(made) if self._source is None else self._source.mask(made).copy())
        return self._masks[i]

    def in_common(self, name: str, copy: int, fill: Callable[[torch.Tensor], object]) -> torch.Tensor:
        """A matrix [d, h] in W's dtype that whoever asks by this name and number is given; nobody can write it."""
        found = self._in_common.get((name, copy))
        if found is None:
            room = SealedMemory(self.dense.d * self.dense.h, self.dtype)
            fill(room.tensor.view(self.dense.d, self.dense.h))
            found = self._in_common[name, copy] = room.seal().view(self.dense.d, self.dense.h)
        return found

    def forget_common(self) -> None:
        """Make what is had in common anew for who asks next: it may have been made of changed inputs."""
        self._in_common.clear()

    @property
    def masks_made(self) -> list[npt.NDArray[np.bool_]]:
        """The masks that were asked for so far."""
        return self._masks

    def reference(self, layer: LayerKind, nm: int, fresh: int) -> Float64:
        """y in float64, [batch, d], for the fresh-th x; what is not finite goes where the formula takes it."""
        with np.errstate(invalid="ignore"):
            return self._reference(layer, nm, fresh)

    def _reference(self, layer: LayerKind, nm: int, fresh: int) -> Float64:
        dense, tokens = self.dense, self.dense.tokens(fresh)
        if layer == "read":
            return np.broadcast_to(dense.row_sums.values[:, 0], (dense.batch, dense.d))
        if layer == "product":
            return dense.total.values[:, tokens].T
        if layer == "lu":
            return activate(dense.total.values[:, tokens], self.activation).T
        if layer == "glu":
            return (activate(dense.total.values[:, tokens], self.activation) * dense.value_total.values[:, tokens]).T
        y = np.zeros((dense.d, dense.batch))
        for i in range(nm):
            gate, value = self._gate_and_value(i)
            y += activate(gate.values[:, tokens], self.activation) * value.values[:, tokens]
        return y.T

    def terms(self, layer: LayerKind, nm: int, fresh: int, most: int | None = None) -> Terms:
        """What y is made of, with the sizes of the sums, for the fresh-th x; what errors are judged by.

        Args:
            most: how many tokens at most, the first ones.
        """
        dense, tokens = self.dense, self.dense.tokens(fresh)
        if most is not None:
            tokens = slice(tokens.start, min(tokens.stop, tokens.start + most))
        if layer == "read":
            return Terms(layer, dense.h, dense.row_sums, [])
        total = dense.total.of(tokens)
        if layer == "mglu":
            pairs = [self._gate_and_value(i) for i in range(nm)]
            return Terms(layer, dense.h, total, [(gate.of(tokens), value.of(tokens)) for gate, value in pairs])
        pairs = [(total, dense.value_total.of(tokens))] if layer == "glu" else []
        return Terms(layer, dense.h, total, pairs)

    def scale(self, nm: int, fresh: int) -> float:
        """Size that an error is held against where the reference is exactly zero (all-ones or all-zeros masks)."""
        totals = self.dense.total.values[:, self.dense.tokens(fresh)]
        return float(max(nm, 1) * np.linalg.norm(totals[np.isfinite(totals)] ** 2))

    def _gate_and_value(self, i: int) -> tuple[Sums, Sums]:
        while len(self._halves) <= i:
            self._halves.append(self._made_halves(len(self._halves)))
        return self._halves[i]

    def _made_halves(self, i: int) -> tuple[Sums, Sums]:
        def both() -> list[Float64]:
            gate, value = self.dense.halves(self.mask(i))
            return [*gate, *value]

        sums = self.dense.drawing.made_once(f"halves {self.mask_name} {i}", both)
        return Sums(*sums[:2]), Sums(*sums[2:])

    def _true_mask(self, i: int) -> npt.NDArray[np.bool_]:
        (mask,) = self.dense.drawing.made_once(f"mask {self.mask_name} {i}", lambda: [self._draw_mask(i)])
        return mask

    def _draw_mask(self, i: int) -> npt.NDArray[np.bool_]:
        shape = (self.dense.d, self.dense.h)
        if self.mask_name in ("ones", "zeros"):
            return np.full(shape, self.mask_name == "ones")
        ratio = float(self.mask_name.partition(":")[2])
        generator = self.dense.drawing.generator(16 + i)
        if ratio == 0.5:
            count = math.prod(shape)
            raw = np.frombuffer(generator.bytes(-(-count // 8)), np.uint8)
            return np.unpackbits(raw, count=count).view(np.bool_).reshape(shape)
        return generator.random(shape, dtype=np.float32) < ratio


def input_key(case: Case) -> tuple[Any, ...]:
    """Cases with equal keys share one :class:`InputSet`."""
    return *dense_key(case), case.activation, case.mask if case.nm else "none"


def activate(values: Float64, activation: str) -> Float64:
    """The activation in float64; gelu is the exact (erf) form, as in ``torch.nn.functional.gelu``."""
    import torch

    function = getattr(torch.nn.functional, activation)
    return np.asarray(function(torch.from_numpy(np.ascontiguousarray(values))).numpy(), dtype=np.float64)
