"""Is an output right? Compared with float64, as a whole and element by element; NaN never passes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from mglubench.layer.tolerance import Tolerance

Float64 = npt.NDArray[np.float64]
# An element that was not written and is nearer to the reference than this happened to hold the right value.
BY_CHANCE = 1e-2


@dataclass(frozen=True, slots=True)
class Check:
    """Errors of one output.

    Attributes:
        relative: ``||y - ref|| / ||ref||``. worst: largest ``|y - ref| / (|ref| + rms(ref))``.
        unwritten: elements that are NaN where the reference is not: never written, or computed as NaN.
    """

    relative: float
    worst: float
    unwritten: int

    def why_wrong(self, tolerance: Tolerance) -> str | None:
        """Why the output is wrong, in one line; ``None`` if it is right."""
        if self.unwritten:
            return f"{self.unwritten} output elements are NaN or were never written"
        if not self.relative <= tolerance.relative:
            return f"relative error {self.relative:.2e} is above {tolerance.relative:.0e}"
        if not self.worst <= tolerance.worst:
            return f"the worst element is off by {self.worst:.2e}, above {tolerance.worst:.0e}"
        return None

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values; an error that is not a number is null."""
        return {key: value if np.isfinite(value) else None for key, value in asdict(self).items()}


def compare(y: Float64, reference: Float64, scale: float, untouched: npt.NDArray[np.bool_] | None = None) -> Check:
    """Compare ``y`` with ``reference``, same shape.

    Args:
        scale: what errors are held against if the reference is exactly zero everywhere.
        untouched: elements that hold what was there before the launch; where that is not right by chance, they count
            as unwritten.
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
    if size == 0:
        exact = float(difference.max(initial=0.0))
        return Check(exact, exact, int(np.isnan(difference).sum()))
    worst = float(np.max(difference / (np.abs(np.nan_to_num(reference)) + rms)))
    return Check(float(np.linalg.norm(difference)) / size, worst, int((np.isnan(y) & ~np.isnan(reference)).sum()))
