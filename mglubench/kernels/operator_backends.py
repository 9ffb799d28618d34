"""What the operator ``flash_mglu`` takes on each kind of device; known without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.cases.vocabulary import ITEMSIZE, NM_MAX, SAME, WEIGHTS
from mglubench.kernels import cpu_call
from mglubench.kernels.cuda_catalogue import SHIPPED
from mglubench.kernels.cuda_kernel import CODED_DTYPE, ROW_MULTIPLE
from mglubench.kernels.on_device import why_too_old
from mglubench.layer.formats.tiles import tiles_of
from mglubench.layer.formats.weight_format import Quantised

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Backend:
    """What the operator takes on one kind of device.

    Attributes:
        layout: of the masks. row_multiple: rows of W are padded to so many elements. dtypes: of W, x and y.
        nms: numbers of masks. formats: of W, values of the axis ``weights``. coded_dtypes: of x and y, where W is of a
            format other than ``same``.
        tokens_per_pass: tokens that share one pass over W; 0 if all do.
    """

    layout: str
    row_multiple: int
    dtypes: tuple[str, ...]
    nms: tuple[int, ...]
    formats: tuple[str, ...] = (SAME,)
    coded_dtypes: tuple[str, ...] = tuple(ITEMSIZE)
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
        formats=(SAME, *SHIPPED[0].formats),
        coded_dtypes=(CODED_DTYPE,),
        tokens_per_pass=SHIPPED[0].tokens_per_pass,
    ),
}


def why_no_format(weights: str, kind: str) -> str | None:
    """Why the operator does not take W in this format on the device of a kind that is here, and what would work."""
    if kind != "cuda" or weights == SAME or not (reason := why_too_old(SHIPPED[0].oldest_for(weights))):
        return None
    older = [name for name in BACKENDS[kind].formats if not why_too_old(SHIPPED[0].oldest_for(name))]
    there = f"{' or '.join(older)} there, or " if older else ""
    return f"weights {weights}: {reason}; use {there}{weights} on cpu"


def why_no_dtype(dtype: str, weights: str, kind: str) -> str | None:
    """Why the operator takes no x of this dtype beside W in a format there, and what would work."""
    backend = BACKENDS[kind]
    taken = backend.dtypes if weights == SAME else backend.coded_dtypes
    if dtype in taken:
        return None
    if weights == SAME or dtype not in ITEMSIZE:
        return f"dtype {dtype} is not among {', '.join(taken)} on {kind}"
    return f"weights {weights} are computed with in {' or '.join(taken)} on {kind}, x is {dtype}; convert it"


def coded_weight(matrix: Quantised, kind: str) -> torch.Tensor:
    """A matrix of a format as the kernel of a kind of device reads it, uint8, on the CPU."""
    return matrix.format.cpu_rows(matrix) if kind == "cpu" else tiles_of(matrix)
