"""How far each element of an output may be from the float64 reference: what rounding does, by the method of a variant.

The model. A floating-point operation returns its exact result, off by at most half a unit in the last place, and
for data like ours, whose signs are random, such errors are as good as independent. So:

- a sum of h products, added in fp32 by ``running`` sums of n = h / running products each, is off by a normal deviate.
  What is summed walks at random, by steps whose squares add up to Q^2, to its end s; what is lost on the way adds up to
  ``SUM_SPREAD u sqrt(n (Q^2 + 2/3 (s^2 - Q^2) / running) + 2 max(log2(running), 2) Q^2 + 2 s^2)``, u = 2^-24, the last
  two terms for the products and for adding the running sums, pair by pair. What a mask leaves out adds exact zeros: of
  a half, n is as much smaller as its Q^2 is;
- a result that is stored in the layer's dtype is off by up to half a unit of *its* last place, evenly spread.

Both travel to y along derivatives: an error of the gate times g'(gate) value, one of the value times g(gate). An
element passes if it is within the sum of all stored results' largest errors and so many standard deviations of the sums
(:func:`deviates_of`), or, where many results were stored, within so many standard deviations of everything. The largest
of thousands of errors of a right kernel comes near that bound and does not reach it. Over 36 to 60 shapes a method the
largest error in fp32 was 0.51 to 0.69 of its bound (0.43 with flips), of one output of a few thousand elements 0.35 to
0.5; in 16 bits it was 0.65 to 1.00.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mglubench.layer.input_set import Terms, activate
from mglubench.layer.products import Sums

Float64 = npt.NDArray[np.float64]

# Significant bits, and the exponent below which the spacing of numbers no longer shrinks.
BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
_SMALLEST = {"float32": -125, "float16": -13, "bfloat16": -125}
UNIT = 2.0**-24
# Standard deviations that stored results together may be off by.
DEVIATES = 8.0
SUM_SPREAD = 0.30
# Products that torch's library adds one after the other on a CPU: blocks of a row; or, of so few tokens that it takes
# another way, up to a quarter of the row. Measured with MKL on AVX-512: 190 to 280, and a quarter.
_BLOCK, _FEW_TOKENS, _FEW_SUMS = 256, 4, 4
# Share of their spread by which results may lean to one side that library functions stored: oneDNN's gelu does by 0.04.
LEANING = 0.06


@dataclass(frozen=True, slots=True)
class Method:
    """What is rounded where.

    Attributes:
        stores: what is rounded to the layer's dtype: y alone (``end``), gate and value as well (``projections``), or
            every result on the way, as layers written in torch do (``steps``).
        halves: gate and value are sums of their own (``own``), the value is what the gate leaves of x W
            (``difference``), or both come from x W and the sum with flipped signs (``flips``).
        running: partial sums that a projection is kept in at least; 1: one after the other.
        library: whether torch's library does the products: on a CPU in blocks; on CUDA in any order, and with partial
            sums stored in the dtype where it is a short one.
    """

    stores: Literal["end", "projections", "steps"]
    halves: Literal["own", "difference", "flips"] = "own"
    running: int = 1
    library: bool = False


METHODS = {
    # Torch's library products, every result stored.
    "steps": Method("steps", library=True),
    "steps-difference": Method("steps", "difference", library=True),
    # A compiler that fuses what follows the products.
    "projections": Method("projections", library=True),
    # One kernel, fp32 throughout: one running sum per row, or the lanes of vectors and warps.
    "fused-serial": Method("end"),
    "fused": Method("end", running=16),
    "fused-serial-difference": Method("end", "difference"),
    "fused-difference": Method("end", "difference", running=16),
    "fused-flips": Method("end", "flips"),
}


class Bound(NamedTuple):
    """Errors that rounding explains, [tokens, d] each.

    Attributes:
        limit: the largest. spread: standard deviation. drift: by how much all of them may lean to one side.
        shapes: directions in which errors of a wrong activation or scale point, by what would be wrong.
    """

    limit: Float64
    spread: Float64
    drift: Float64
    shapes: dict[str, Float64]


def bound(terms: Terms, method: str, dtype: str, activation: str, device: str = "cpu") -> Bound:
    """The bound of a method on a kind of device.

    Args:
        method: a name of METHODS, or ``NAME/N`` for one that keeps N running sums per projection; any other name takes
            the widest of all at every element.
    """
    shapes = {name: shape.T for name, shape in _shapes(terms, activation).items()}
    found = [_Errors(terms, each, dtype, activation, device).total() for each in methods(method)]
    limit, spread, drift = (np.maximum.reduce([each[i] for each in found]).T for i in range(3))
    return Bound(limit, spread, drift, shapes)


def methods(name: str) -> list[Method]:
    """The method of this name, or all of them."""
    name, _, running = name.partition("/")
    if name not in METHODS or (running and not (running.isdecimal() and int(running))):
        return list(METHODS.values())
    return [replace(METHODS[name], running=int(running)) if running else METHODS[name]]


def deviates_of(running: float) -> float:
    """Standard deviations that a sum kept in so many running sums may be off by.

    What is lost on a walk depends on how far it went, which neither s nor Q^2 tell: errors of one running sum fall off
    as exp(-1.28 z), not as a normal deviate's. Of many, their mean is left, and errors are nearly normal.
    """
    return 6.0 + 7.0 / math.sqrt(running)


class _Errors:
    """Adds up what one method does to y, [d, tokens]."""

    def __init__(self, terms: Terms, method: Method, dtype: str, activation: str, device: str) -> None:
        self._terms, self._method, self._dtype, self._activation = terms, method, dtype, activation
        self._split = method.library and device == "cuda" and dtype != "float32"
        self._running = float(method.running)
        if method.library and device == "cpu":
            few = terms.total.values.shape[1] < _FEW_TOKENS
            self._running = terms.h / max(min(terms.h, _BLOCK), terms.h / _FEW_SUMS if few else 0.0)
        self._deviates = deviates_of(self._running)
        shape = terms.total.values.shape
        self._sums = np.zeros(shape)  # variance of sums and of other arithmetic in fp32
        self._stored = np.zeros(shape)  # variance of stored results
        self._most = np.zeros(shape)  # largest error of stored results

    def total(self) -> tuple[Float64, Float64, Float64]:
        """Limit, spread and drift."""
        with np.errstate(all="ignore"):
            y = self._pairs() if self._terms.pairs else self._single()
            if self._method.stores != "steps" or not self._terms.pairs:
                self._store(1.0, y, final=True)
            drift = np.sqrt(self._sums)
            spread = np.sqrt(self._sums + self._stored)
            of_sums = self._deviates * drift
            together = np.hypot(of_sums, DEVIATES * np.sqrt(self._stored))
            limit = np.minimum(self._most + of_sums, np.maximum(together, half_unit(y, self._dtype)))
            leaning = drift + LEANING * np.sqrt(self._stored) if self._method.library else drift
        return limit, spread, leaning

    def _single(self) -> Float64:
        """A layer without a gate: y = x W or g(x W)."""
        total = self._terms.total
        if self._terms.layer != "lu":
            self._sum(1.0, total)
            return total.values
        slope, gate = self._activation_of(total)
        self._sum(slope, total)
        self._store(slope, total.values)
        self._sums += self._evaluation(total.values, gate) ** 2
        return gate

    def _pairs(self) -> Float64:
        """y = sum_i g(gate_i) value_i."""
        terms, halves = self._terms, self._method.halves if self._terms.layer == "mglu" else "own"
        y, of_total = np.zeros_like(terms.total.values), np.zeros_like(terms.total.values)
        for i, (gate, value) in enumerate(terms.pairs):
            slope, g = self._activation_of(gate)
            by_gate, by_value = slope * value.values, g
            if halves == "own":
                self._sum(by_gate, gate)
                self._sum(by_value, value)
            elif halves == "difference":
                self._sum(by_gate - by_value, gate)
                of_total += by_value
            else:
                self._sum((by_value - by_gate) / 2, Sums(gate.values - value.values, terms.total.squares))
                of_total += (by_value + by_gate) / 2
            # Where a value is a difference, the gate's own rounding is in it as well.
            self._store(by_gate - by_value if halves == "difference" else by_gate, gate.values)
            self._store(by_value, value.values)
            self._sums += (self._evaluation(gate.values, g) * value.values) ** 2
            product = g * value.values
            y += product
            self._store(value.values, g, step=True)
            self._store(1.0, product, step=True)
            if i:
                self._store(1.0, y, step=True)
        if halves != "own":
            self._sum(of_total, terms.total)
        if halves == "difference":
            self._store(of_total, terms.total.values)
        return y

    def _activation_of(self, gate: Sums) -> tuple[Float64, Float64]:
        """Slope and value; at the corner of relu the slope is 1 as far as an error of the sum may reach."""
        reach = self._deviates * self._spread_of(gate) + (
            half_unit(gate.values, self._dtype) if self._method.stores != "end" else 0.0
        )
        return slope_of(gate.values, self._activation, reach), activate(gate.values, self._activation)

    def _evaluation(self, gate: Float64, g: Float64) -> Float64:
        """Standard deviation of g in fp32, whose error is a few units; erf near -1 costs units of the gate itself."""
        if self._activation == "relu":
            return np.zeros_like(gate)
        return 0.7 * UNIT * (np.abs(gate) if self._activation == "gelu" else (1.0 + np.abs(gate)) * np.abs(g))

    def _spread_of(self, sums: Sums) -> Float64:
        end, steps, running = sums.values**2, sums.squares, self._running
        walked = self._products(sums) / running * (steps + (end - steps) / 1.5 / running)
        return SUM_SPREAD * UNIT * np.sqrt(walked + 2 * max(math.log2(running), 2.0) * steps + 2 * end)

    def _products(self, sums: Sums) -> Float64 | float:
        """How many products are in a sum; of a half, by its share of the squares."""
        if self._terms.layer != "mglu" or sums is self._terms.total:
            return self._terms.h
        whole = self._terms.total.squares
        share = np.divide(sums.squares, whole, out=np.ones_like(whole), where=whole > 0)
        return self._terms.h * np.clip(share, 0.0, 1.0)

    def _sum(self, factor: Float64 | float, sums: Sums) -> None:
        self._sums += (factor * self._spread_of(sums)) ** 2
        if self._split:
            self._store(factor, np.abs(sums.values) + np.sqrt(sums.squares))

    def _store(self, factor: Float64 | float, result: Float64, *, step: bool = False, final: bool = False) -> None:
        """A result that reaches y times ``factor``: rounded to the dtype where the method stores it, else to fp32."""
        stores = self._method.stores
        if final or stores == "steps" or (stores == "projections" and not step):
            # What was rounded before may have crossed into the next binade.
            margin = 1.0 if stores == "end" else 1.0 + 2.0 ** (2 - BITS[self._dtype])
            error = np.abs(factor) * half_unit(result * margin, self._dtype)
            self._most += error
            self._stored += error**2 / 3
        else:
            self._sums += (factor * UNIT * np.abs(result)) ** 2 / 3


def half_unit(values: Float64, dtype: str) -> Float64:
    """Half of the last place's unit of numbers of this size: the largest error of rounding them."""
    _, exponents = np.frexp(values)
    return np.asarray(np.ldexp(1.0, np.maximum(exponents, _SMALLEST[dtype]) - BITS[dtype] - 1), np.float64)


def slope_of(gate: Float64, activation: str, reach: Float64 | float = 0.0) -> Float64:
    """The largest slope of an activation, with its sign, within ``reach`` of ``gate``."""
    if activation == "relu":
        return np.asarray(gate > -np.asarray(reach), np.float64)
    if activation == "silu":
        s = 1 / (1 + np.exp(-gate))
        return np.asarray(s * (1 + gate * (1 - s)))
    density = np.exp(-gate * gate / 2) / math.sqrt(2 * math.pi)
    share = np.divide(activate(gate, "gelu"), gate, out=np.full_like(gate, 0.5), where=gate != 0)
    return np.asarray(share + gate * density)


def _shapes(terms: Terms, activation: str) -> dict[str, Float64]:
    """Directions of an error of y, [d, tokens], by what they speak of."""
    with np.errstate(all="ignore"):
        if terms.layer in ("read", "product"):
            return {"rounding": terms.total.values}
        pairs = terms.pairs or [(terms.total, Sums(np.ones_like(terms.total.values), terms.total.squares))]
        y = sum(activate(a.values, activation) * b.values for a, b in pairs)
        middle = sum(a.values**2 * np.exp(-(a.values**2) / 2) * b.values for a, b in pairs)
        argument = sum(slope_of(a.values, activation) * a.values * b.values for a, b in pairs)
        return {"rounding": np.asarray(y), "the activation": np.asarray(middle), "the gate": np.asarray(argument)}
