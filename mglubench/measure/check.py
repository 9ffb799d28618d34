"""Is an output right? Compared with float64, as a whole and element by element; NaN never passes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from mglubench.layer.rounding import Bound
from mglubench.layer.tolerance import Tolerance

Float64 = npt.NDArray[np.float64]
# An element that was not written and is nearer to the reference than this happened to hold the right value.
BY_CHANCE = 1e-2
# Standard deviations that a mean of errors may be off by.
BIAS_DEVIATES = 6.5


@dataclass(frozen=True, slots=True)
class Check:
    """Errors of one output.

    Attributes:
        relative: ``||y - ref|| / ||ref||``. worst: largest ``|y - ref| / (|ref| + rms(ref))``.
        unwritten: elements that are NaN where the reference is not: never written, or computed as NaN.
        of_bound: largest error as a share of what rounding explains at its element. bias: how far all errors together
            lean to one side, as a share of what chance and fp32 sums explain; leaning: what they speak of.
        tamed: elements that are not the NaN or the infinity that the reference is; not stored, for no row has any.
    """

    relative: float
    worst: float
    unwritten: int
    of_bound: float = 0.0
    bias: float = 0.0
    leaning: str = ""
    tamed: int = 0

    def why_wrong(self, tolerance: Tolerance) -> str | None:
        """Why the output is wrong, in one line; ``None`` if it is right."""
        if self.unwritten:
            return f"{self.unwritten} output elements are NaN or were never written"
        if self.tamed:
            return f"{self.tamed} output elements are not the NaN or the infinity that the definition gives"
        if not self.relative <= tolerance.relative:
            return f"relative error {self.relative:.2e} is above {tolerance.relative:.0e}"
        if not self.worst <= tolerance.worst:
            return f"the worst element is off by {self.worst:.2e}, above {tolerance.worst:.0e}"
        if not self.of_bound <= 1:
            return f"an element is off by {self.of_bound:.3g} times what rounding explains"
        if not self.bias <= 1:
            return f"errors lean to one side, {self.bias:.2g} times what chance explains: is {self.leaning} right?"
        return None

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values; an error that is not a number is null."""
        figures = {key: value for key, value in asdict(self).items() if key not in ("leaning", "tamed")}
        return {key: value if np.isfinite(value) else None for key, value in figures.items()}


def compare(
    y: Float64,
    reference: Float64,
    scale: float,
    untouched: npt.NDArray[np.bool_] | None = None,
    bound: Bound | None = None,
) -> Check:
    """Compare ``y`` with ``reference``, both [batch, d].

    Args:
        scale: what errors are held against if the reference is exactly zero everywhere.
        untouched: elements that hold what was there before the launch; where that is not right by chance, they count
            as unwritten.
        bound: what rounding explains, of all tokens or of the first ones.
    """
    with np.errstate(invalid="ignore"):
        difference = np.abs(y - reference)
    # Equal infinities are equal, though their difference is NaN.
    difference[(y == reference) | (np.isnan(y) & np.isnan(reference))] = 0.0
    norm = float(np.linalg.norm(reference[np.isfinite(reference)]))
    size = norm if norm > 0 else scale
    rms = size / np.sqrt(reference.size)
    if untouched is not None:
        y = np.where(untouched & (difference > BY_CHANCE * (np.abs(reference) + rms)), np.nan, y)
        difference[np.isnan(y) & ~np.isnan(reference)] = np.nan
    missing = int((np.isnan(y) & ~np.isnan(reference)).sum())
    tamed = int((~np.isfinite(reference) & ~np.isnan(y) & (y != reference)).sum())
    finer = _finer(y, reference, bound) if bound is not None and not missing else (0.0, 0.0, "")
    if size == 0:
        exact = float(difference.max(initial=0.0))
        return Check(exact, exact, int(np.isnan(difference).sum()), *finer, tamed)
    worst = float(np.max(difference / (np.abs(np.nan_to_num(reference)) + rms)))
    return Check(float(np.linalg.norm(difference)) / size, worst, missing, *finer, tamed)


def _finer(y: Float64, reference: Float64, bound: Bound) -> tuple[float, float, str]:
    """Largest error as a share of its bound, largest bias as a share of its own, and what the latter speaks of."""
    tokens = len(bound.limit)
    with np.errstate(all="ignore"):
        error = y[:tokens] - reference[:tokens]
        judged = np.isfinite(error) & np.isfinite(bound.limit) & (bound.spread > 0)
        share = np.abs(error) / bound.limit
        of_bound = float(np.max(share, where=np.isfinite(share), initial=0.0))
        spread, drift = np.where(judged, bound.spread, 1.0), np.where(judged, bound.drift, 0.0)
        deviates = np.where(judged, error, 0.0) / spread
        biases = {
            name: _bias(deviates, np.where(judged & np.isfinite(shape), shape, 0.0) / spread, drift / spread)
            for name, shape in {**bound.shapes, "rounding, by sign": np.sign(reference[:tokens])}.items()
        }
    worst = max(biases, key=lambda name: biases[name])
    return of_bound, biases[worst], worst.partition(",")[0]


def _bias(deviates: Float64, shape: Float64, drift: Float64) -> float:
    """How far errors lean along ``shape``: 1 is as far as chance and ``drift`` would take them."""
    length = float(np.linalg.norm(shape))
    if length == 0:
        return 0.0
    allowed = BIAS_DEVIATES + float(np.sum(np.abs(shape) * drift)) / length
    return abs(float(np.sum(shape * deviates))) / length / allowed
