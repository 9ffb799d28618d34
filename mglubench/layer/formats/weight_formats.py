"""All weight formats by name; ``same`` is none of them."""

from __future__ import annotations

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import SAME
from mglubench.layer.formats.fp8 import Fp8E4M3
from mglubench.layer.formats.int4 import Int4
from mglubench.layer.formats.int8 import Int8
from mglubench.layer.formats.mxfp4 import Mxfp4
from mglubench.layer.formats.weight_format import WeightFormat

FORMATS: dict[str, WeightFormat] = {made.name: made for made in (Int8(), Int4(), Fp8E4M3(), Mxfp4())}


def format_of(case: Case) -> WeightFormat | None:
    """The format of a case's weights; ``None`` if they are in the dtype of x."""
    return None if case.weights == SAME else FORMATS[case.weights]


def matrix_bytes(case: Case) -> int:
    """The least bytes of one weight matrix of a case, scales included."""
    made = format_of(case)
    return case.elements * case.itemsize if made is None else made.nbytes(case.d, case.h)
