"""What the operator ``flash_mglu`` takes on each kind of device; known without importing torch."""

from __future__ import annotations

from dataclasses import dataclass

from mglubench.cases.vocabulary import ITEMSIZE, NM_MAX
from mglubench.kernels import cpu_call
from mglubench.kernels.cuda_catalogue import SHIPPED
from mglubench.kernels.cuda_kernel import ROW_MULTIPLE


@dataclass(frozen=True)
class Backend:
    """What the operator takes on one kind of device.

    Attributes:
        layout: of the masks. row_multiple: rows of W are padded to so many elements. dtypes: of W, x and y.
        nms: numbers of masks. tokens_per_pass: tokens that share one pass over W; 0 if all do.
    """

    layout: str
    row_multiple: int
    dtypes: tuple[str, ...]
    nms: tuple[int, ...]
    tokens_per_pass: int = 0


BACKENDS = {
    "cpu": Backend(cpu_call.LAYOUT, cpu_call.ROW_MULTIPLE, tuple(ITEMSIZE), tuple(range(1, NM_MAX + 1))),
    "cuda": Backend(SHIPPED[0].layout, ROW_MULTIPLE, SHIPPED[0].dtypes, SHIPPED[0].nms, SHIPPED[0].tokens_per_pass),
}
