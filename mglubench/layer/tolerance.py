"""How near to the float64 reference an output must be, per dtype of W, x and y.

Relative error is ``||y - ref|| / ||ref||`` over the whole output. The bounds hold the rounding of y itself, of the two
projections (a torch layer rounds gate and value to the dtype before it multiplies them) and of a sum over up to 16
masks kept in the dtype. ``worst`` bounds a single element, relative to its own size plus the root mean square of the
reference, because one wrong element among thousands hides in a norm.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted errors: of the output as a whole, and of its worst element."""

    relative: float
    worst: float


TOLERANCES: dict[str, Tolerance] = {
    "float32": Tolerance(relative=1e-5, worst=1e-4),
    "bfloat16": Tolerance(relative=1.2e-2, worst=1e-1),
    "float16": Tolerance(relative=2e-3, worst=2e-2),
}
