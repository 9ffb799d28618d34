"""The declared bytes and FLOPs of a case: what must move through memory if every operand moves once.

What is counted, for W of d x h elements in their format (the dtype of x, or codes of a few bits and their scales):

==========  ==========================================  ==================================================
layer       bytes                                       FLOPs (a multiply-add is two)
==========  ==========================================  ==================================================
read        W + y                                       d h                     (one addition per element)
product     W + x + y                                   2 d h batch
lu          W + x + y                                   2 d h batch
glu         2 W + x + y                                 4 d h batch
mglu        W + nm bits per element + x + y             2 d h batch (nm + 1)    (complement: value = T - gate)
==========  ==========================================  ==================================================

A variant that stores or materialises more than its layer needs (byte masks, masked copies of W) declares that as well:
:class:`Ledger` keeps the parts apart, so a table can show where the bytes go. Source of the mglu row: arXiv 2506.23225,
section 3; with truly bit-packed masks the layer costs ``bits + nm`` bits per weight element.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import LayerKind
from mglubench.layer.formats.weight_formats import matrix_bytes


@dataclass(frozen=True, slots=True)
class Ledger:
    """Bytes by part, and useful FLOPs, of one run of one case.

    Attributes:
        weights: weight matrices read. masks: mask bytes read. x, y: activations read and written.
        scratch: everything that the variant writes and reads again (masked copies of W, partial sums).
        flops: arithmetic that the formula needs; not what a wasteful implementation executes.
    """

    weights: int
    masks: int
    x: int
    y: int
    flops: int
    scratch: int = 0

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.masks + self.x + self.y + self.scratch

    def to_dict(self) -> dict[str, int]:
        """Plain values with the total, for JSON."""
        return {name: getattr(self, name) for name in (*_PARTS, "total")}


_PARTS = tuple(part.name for part in fields(Ledger))


def declare(layer: LayerKind, case: Case, *, mask_bytes: int | None = None, scratch: int = 0) -> Ledger:
    """Ledger of ``layer`` for ``case``; ``mask_bytes`` replaces the nm-bits-per-element floor."""
    matrix = matrix_bytes(case)
    x = case.batch * case.h * case.itemsize
    y = case.batch * case.d * case.itemsize
    product = 2 * case.elements * case.batch
    if layer == "read":
        return Ledger(weights=matrix, masks=0, x=0, y=y, flops=case.elements, scratch=scratch)
    if layer in ("product", "lu"):
        return Ledger(weights=matrix, masks=0, x=x, y=y, flops=product, scratch=scratch)
    if layer == "glu":
        return Ledger(weights=2 * matrix, masks=0, x=x, y=y, flops=2 * product, scratch=scratch)
    masks = -(-case.nm * case.elements // 8) if mask_bytes is None else mask_bytes
    return Ledger(weights=matrix, masks=masks, x=x, y=y, flops=product * (case.nm + 1), scratch=scratch)
