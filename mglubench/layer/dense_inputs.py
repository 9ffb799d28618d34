"""Weights and tokens of a problem, with their float64 products.

W has standard deviation 1/sqrt(h), x has 1, so projections have about 1 whatever the shape. Inputs are drawn on the
host with numpy, rounded to the case's dtype, and moved to its device; the reference uses the rounded values. Weights
of a format are then quantised, and what their codes and scales stand for is W.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mglubench.cases.case import Case
from mglubench.layer.drawing import DOWN, TOKENS, Drawing
from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.formats.weight_formats import format_of
from mglubench.layer.products import Float64, Sums, halves, project, sums_of_rows
from mglubench.system.sealed import SealedMemory
from mglubench.system.shelf import Shelf

if TYPE_CHECKING:
    import torch

FRESH_SETS = 2
# Rows of which weights are kept as they were before they were quantised, spread over the matrix.
_SAMPLED_ROWS = 256
Matrix = Literal["weight", "weight_value"]
_MATRICES: tuple[Matrix, ...] = ("weight", "weight_value")


class Sampled(NamedTuple):
    """Some rows of a quantised matrix: their numbers, and in float64 what they were and what they are stored as."""

    rows: npt.NDArray[np.int64]
    original: Float64
    stored: Float64


class DenseInputs:
    """Weights and x of one shape, batch, dtype and seed, on the host, with their float64 products; made when asked for.

    ``x(k)`` for k = 0 and 1 are independent draws: correctness is checked on one before the timed loop and on the other
    after it.

    Args:
        source: inputs to copy instead of drawing them. sealed: whether what is drawn can only be read afterwards.
        shelf: where what is drawn and computed may lie already, made by another process.
        non_finite: whether some of W, Wv and x are NaN or infinite (:mod:`mglubench.layer.non_finite`).
    """

    def __init__(
        self,
        case: Case,
        source: DenseInputs | None = None,
        *,
        sealed: bool = False,
        non_finite: bool = False,
        shelf: Shelf | None = None,
    ) -> None:
        self._source = source
        self.drawing = Drawing(case, sealed=sealed, non_finite=non_finite, shelf=shelf)
        self.h, self.d, self.batch = case.h, case.d, case.batch
        self.dtype: torch.dtype = self.drawing.dtype
        self._copies: dict[tuple[str, int], torch.Tensor] = {}
        self.format = format_of(case)
        self._stored: dict[Matrix, tuple[Quantised, Sampled]] = {}

    def stored(self, matrix: Matrix) -> Quantised:
        """Codes and scales of a matrix, where weights have a format; whoever asks gets a copy of their own."""
        source = self if self._source is None else self._source
        return source._quantised(matrix)[0].clone()

    def sampled(self, matrix: Matrix) -> Sampled:
        """Some rows of a quantised matrix before and after."""
        return self._quantised(matrix)[1]

    def _quantised(self, matrix: Matrix) -> tuple[Quantised, Sampled]:
        if matrix not in self._stored:
            assert self.format is not None
            drawn = self._draw(matrix)
            made = self.format.quantise(drawn)
            rows = np.linspace(0, self.d - 1, min(self.d, _SAMPLED_ROWS)).astype(np.int64)
            few = Quantised(self.format, made.codes[rows], made.scales[rows])
            sampled = Sampled(rows, drawn[rows].double().numpy(), few.dequantised().double().numpy())
            self._stored[matrix] = made, sampled
        return self._stored[matrix]

    def _draw(self, matrix: Matrix) -> torch.Tensor:
        return self.drawing.normal(_MATRICES.index(matrix), (self.d, self.h), 1 / math.sqrt(self.h))

    def _matrix(self, matrix: Matrix) -> torch.Tensor:
        """A matrix as it is computed with: in the dtype of x, or in fp32 what its codes stand for."""
        if self._source is not None:
            given: torch.Tensor = getattr(self._source, matrix)
            return given.clone()
        if self.format is None:
            return self._draw(matrix)
        values = self._quantised(matrix)[0].dequantised()
        if not self.drawing.sealed:
            return values
        room = SealedMemory(values.numel(), values.dtype)
        room.tensor.copy_(values.view(-1))
        return room.seal().view(values.shape)

    def copy_of(self, matrix: Matrix | Literal["weight_down"], number: int) -> torch.Tensor:
        """A copy of a matrix with addresses of its own; the same one whenever this number is asked for.

        Launches on a CPU take turns over copies so that they find cold weights. The cases of a setting share them.
        """
        if (matrix, number) not in self._copies:
            self._copies[matrix, number] = getattr(self, matrix).clone()
        return self._copies[matrix, number]

    def copies(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every copy that was asked for, by the name of its matrix."""
        return ((matrix, copy) for (matrix, _), copy in self._copies.items())

    @cached_property
    def weight(self) -> torch.Tensor:
        """W, [d, h]; the gate matrix Wg of a GLU."""
        return self._matrix("weight")

    @cached_property
    def weight_value(self) -> torch.Tensor:
        """Wv of a GLU, [d, h]."""
        return self._matrix("weight_value")

    @cached_property
    def weight_down(self) -> torch.Tensor:
        """Wd of a whole block, [h, d], in the dtype of x and always finite."""
        if self._source is not None:
            return self._source.weight_down.clone()
        return self.drawing.normal(DOWN, (self.h, self.d), 1 / math.sqrt(self.d))

    @cached_property
    def tokens_drawn(self) -> torch.Tensor:
        """Every x, [FRESH_SETS, batch, h]."""
        if self._source is not None:
            return self._source.tokens_drawn.clone()
        return self.drawing.normal(TOKENS, (FRESH_SETS, self.batch, self.h), 1.0)

    def x(self, fresh: int) -> torch.Tensor:
        """The fresh-th independent x, [batch, h]."""
        return self.tokens_drawn[fresh]

    def tokens(self, fresh: int) -> slice:
        """Columns of a projection that belong to the fresh-th x."""
        return slice(fresh * self.batch, (fresh + 1) * self.batch)

    @cached_property
    def row_sums(self) -> Sums:
        """sum_k W[:, k], [d, 1]."""
        return Sums(*self.drawing.made_once("row sums", lambda: sums_of_rows(self.weight)))

    @cached_property
    def total(self) -> Sums:
        """W x^T, [d, FRESH_SETS * batch]."""
        return Sums(*self.drawing.made_once("total", lambda: project(self.weight, self.tokens_drawn)))

    @cached_property
    def value_total(self) -> Sums:
        """Wv x^T, [d, FRESH_SETS * batch]."""
        return Sums(*self.drawing.made_once("value total", lambda: project(self.weight_value, self.tokens_drawn)))

    def halves(self, mask: npt.NDArray[np.bool_]) -> tuple[Sums, Sums]:
        """Gate (mask * W) x^T and value ((1 - mask) * W) x^T, [d, FRESH_SETS * batch] each."""
        return halves(self.weight, self.tokens_drawn, mask, self.total)
