"""What the operator ``flash_mglu`` takes on each kind of device; known without importing torch."""

from __future__ import annotations

from dataclasses import dataclass

from mglubench.cases.vocabulary import ITEMSIZE, NM_MAX, SAME, WEIGHTS
from mglubench.kernels import cpu_call
from mglubench.kernels.cuda_catalogue import SHIPPED
from mglubench.kernels.cuda_kernel import ROW_MULTIPLE


@dataclass(frozen=True)
class Backend:
    """What the operator takes on one kind of device.

    Attributes:
        layout: of the masks. row_multiple: rows of W are padded to so many elements. dtypes: of W, x and y.
        nms: numbers of masks. formats: of W, values of the axis ``weights``.
        tokens_per_pass: tokens that share one pass over W; 0 if all do.
    """

    layout: str
    row_multiple: int
    dtypes: tuple[str, ...]
    nms: tuple[int, ...]
    formats: tuple[str, ...] = (SAME,)
    tokens_per_pass: int = 0


BACKENDS = {
    "cpu": Backend(
        cpu_call.LAYOUT, cpu_call.ROW_MULTIPLE, tuple(ITEMSIZE), tuple(range(1, NM_MAX + 1)), formats=tuple(WEIGHTS)
    ),
    "cuda": Backend(
        SHIPPED[0].layout,
        ROW_MULTIPLE,
        SHIPPED[0].dtypes,
        SHIPPED[0].nms,
        tokens_per_pass=SHIPPED[0].tokens_per_pass,
    ),
}


def why_no_format(weights: str, kind: str) -> str | None:
    """Why the operator does not take W in this format on a kind of device, and what would work; ``None`` if it does."""
    formats = BACKENDS[kind].formats
    if weights in formats:
        return None
    other = [each for each, backend in BACKENDS.items() if weights in backend.formats]
    elsewhere = f", or {weights} on {' or '.join(other)}" if other else ""
    return f"weights {weights} have no kernel on {kind}; use {' or '.join(formats)} there{elsewhere}"
