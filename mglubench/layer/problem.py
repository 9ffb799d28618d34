"""The one definition of a problem: inputs from a seed, and what the answer is in float64.

W has standard deviation 1/sqrt(h), x has 1, so projections have about 1 whatever the shape. Inputs are drawn on the
host with numpy, rounded to the case's dtype, and moved to its device; the reference uses the rounded values. Weights
of a format are then quantised, and what their codes and scales stand for is W. Mask i of a problem does not depend on
nm: a sweep over nm shares weights, masks and partial references.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import LAYER, SAME, LayerKind
from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.formats.weight_formats import format_of
from mglubench.layer.non_finite import plant
from mglubench.system.limits import affinity
from mglubench.system.sealed import SealedMemory
from mglubench.system.shelf import Shelf

if TYPE_CHECKING:
    import torch

FRESH_SETS = 2
# Weights per float64 block of the reference: 8 MiB, which stays in a core's caches.
_REFERENCE_BLOCK = 1 << 20
# Numbers drawn by one generator.
_DRAWN_BLOCK = 1 << 22
_MANY_COLUMNS = 64
# Rows of which weights are kept as they were before they were quantised, spread over the matrix.
_SAMPLED_ROWS = 256
Float64 = npt.NDArray[np.float64]
Matrix = Literal["weight", "weight_value"]
_MATRICES: tuple[Matrix, ...] = ("weight", "weight_value")
_TOKENS, _DOWN = 2, 3
Scalar = TypeVar("Scalar", bound=np.generic)


class Sums(NamedTuple):
    """Sums of products in float64, and the sums of the squares of the same products, of one shape."""

    values: Float64
    squares: Float64

    def of(self, tokens: slice) -> Sums:
        """Columns of some tokens."""
        return Sums(self.values[:, tokens], self.squares[:, tokens])


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
        import torch

        self._source, self._sealed, self._non_finite = source, sealed, non_finite
        self._shelf, self._group = shelf, "/".join(map(str, (*dense_key(case), non_finite)))
        self.h, self.d, self.batch, self.seed = case.h, case.d, case.batch, case.seed
        self.dtype: torch.dtype = getattr(torch, case.dtype)
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
        return self._normal(_MATRICES.index(matrix), (self.d, self.h), 1 / math.sqrt(self.h))

    def _matrix(self, matrix: Matrix) -> torch.Tensor:
        """A matrix as it is computed with: in the dtype of x, or in fp32 what its codes stand for."""
        if self._source is not None:
            given: torch.Tensor = getattr(self._source, matrix)
            return given.clone()
        if self.format is None:
            return self._draw(matrix)
        values = self._quantised(matrix)[0].dequantised()
        if not self._sealed:
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
        return self._normal(_DOWN, (self.h, self.d), 1 / math.sqrt(self.d))

    @cached_property
    def tokens_drawn(self) -> torch.Tensor:
        """Every x, [FRESH_SETS, batch, h]."""
        if self._source is not None:
            return self._source.tokens_drawn.clone()
        return self._normal(_TOKENS, (FRESH_SETS, self.batch, self.h), 1.0)

    def x(self, fresh: int) -> torch.Tensor:
        """The fresh-th independent x, [batch, h]."""
        return self.tokens_drawn[fresh]

    def tokens(self, fresh: int) -> slice:
        """Columns of a projection that belong to the fresh-th x."""
        return slice(fresh * self.batch, (fresh + 1) * self.batch)

    @cached_property
    def row_sums(self) -> Sums:
        """sum_k W[:, k], [d, 1]."""
        return Sums(*self.made_once("row sums", self._row_sums))

    def _row_sums(self) -> Sums:
        found = [(block.sum(dim=1), block.square_().sum(dim=1)) for _, block in self._blocks(self.weight)]
        sums, squares = (
            np.concatenate([part.numpy() for part in parts])[:, None] for parts in zip(*found, strict=True)
        )
        return Sums(sums, squares)

    @cached_property
    def total(self) -> Sums:
        """W x^T, [d, FRESH_SETS * batch]."""
        return Sums(*self.made_once("total", lambda: self._project(self.weight)))

    @cached_property
    def value_total(self) -> Sums:
        """Wv x^T, [d, FRESH_SETS * batch]."""
        return Sums(*self.made_once("value total", lambda: self._project(self.weight_value)))

    def made_once(self, name: str, make: Callable[[], Sequence[npt.NDArray[Scalar]]]) -> Sequence[npt.NDArray[Scalar]]:
        """Arrays of one shape and dtype: from the shelf if they lie there, else made, and put there."""
        if self._shelf is None:
            return make()
        return list(self._shelf.array(f"{self._group} {name}", lambda: np.stack(make())))

    def halves(self, mask: npt.NDArray[np.bool_]) -> tuple[Sums, Sums]:
        """Gate (mask * W) x^T and value ((1 - mask) * W) x^T, [d, FRESH_SETS * batch] each.

        The complement is taken of the weights, where it is exact, not of the sums: each half is a product of its own.
        """
        import torch

        x, squared_x = self._columns()
        shape = self.d, x.shape[1]
        gate, value, squares = np.empty(shape), np.empty(shape), np.empty(shape)
        scratch = self._scratch()
        for rows, block in self._blocks(self.weight):
            kept = torch.mul(block, read_only(mask[rows]), out=scratch[: len(block)])
            gate[rows] = (kept @ x).numpy()
            value[rows] = (block.sub_(kept) @ x).numpy()
            squares[rows] = (kept.square_() @ squared_x).numpy()
        # All terms are positive: what the gate leaves of their sum loses no digits that matter.
        with np.errstate(invalid="ignore"):
            return Sums(gate, squares), Sums(value, np.maximum(self.total.squares - squares, 0.0))

    def _project(self, weight: torch.Tensor) -> Sums:
        x, squared_x = self._columns()
        out, squares = np.empty((self.d, x.shape[1])), np.empty((self.d, x.shape[1]))
        # Sizes of errors need no 16 digits: where products dominate (many tokens), half the time is saved.
        short = x.shape[1] > _MANY_COLUMNS
        if short:
            squared_x = squared_x.float()
        for rows, block in self._blocks(weight):
            out[rows] = (block @ x).numpy()
            squared = block.square_()
            squares[rows] = ((squared.float() if short else squared) @ squared_x).numpy()
        return Sums(out, squares)

    def _columns(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Both x in float64, [h, FRESH_SETS * batch], and their squares."""
        x = self.tokens_drawn.reshape(-1, self.h).double().T.contiguous()
        return x, x.square()

    def _blocks(self, weight: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows of a matrix and what they hold in float64, a block at a time, all in the same memory.

        Fresh memory for every block would cost more than the arithmetic: its pages have to be mapped first.
        """
        scratch = self._scratch()
        for start in range(0, self.d, len(scratch)):
            rows = slice(start, start + len(scratch))
            part = weight[rows]
            yield rows, scratch[: len(part)].copy_(part)

    def _scratch(self) -> torch.Tensor:
        """Room for one block in float64."""
        import torch

        return torch.empty((min(self.d, max(1, _REFERENCE_BLOCK // self.h)), self.h), dtype=torch.float64)

    def generator(self, stream: int, block: int = 0) -> np.random.Generator:
        """An independent generator per use of the seed, and per block of what is drawn for that use."""
        entropy = [self.seed, self.h, self.d, stream, block]
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy)))

    def _normal(self, stream: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
        """Normal numbers in the case's dtype."""
        import torch

        if self._shelf is None:
            return self._drawn(stream, shape, scale)
        drawn = self.made_once(f"drawn {stream}", lambda: [self._drawn(stream, shape, scale).view(torch.uint8).numpy()])
        return read_only(drawn[0]).view(self.dtype)

    def _drawn(self, stream: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
        """Drawn afresh: blocks side by side, whatever the number of cores the same."""
        import torch

        room = SealedMemory(math.prod(shape), self.dtype) if self._sealed else None
        out = torch.empty(math.prod(shape), dtype=self.dtype) if room is None else room.tensor

        def draw(block: int) -> None:
            part = out[block * _DRAWN_BLOCK : (block + 1) * _DRAWN_BLOCK]
            values = self.generator(stream, block).standard_normal(len(part), dtype=np.float32)
            values *= np.float32(scale)
            part.copy_(torch.from_numpy(values))

        with ThreadPoolExecutor(affinity()) as pool:
            list(pool.map(draw, range(-(-len(out) // _DRAWN_BLOCK))))
        # No format has a code for such weights, so only x has them there.
        if self._non_finite and (stream == _TOKENS or (stream < _TOKENS and self.format is None)):
            plant(out.view(shape), stream)
        return (out if room is None else room.seal()).reshape(shape)


def read_only(array: npt.NDArray[np.generic]) -> torch.Tensor:
    """A tensor over memory that can only be read; torch warns of that, and it is meant."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)


class Terms(NamedTuple):
    """What an output is made of; every array is [d, tokens].

    Attributes:
        h: products per sum. total: x W (of a GLU, the gate; of a read, the row's sum). pairs: gate and value, per mask.
    """

    layer: LayerKind
    h: int
    total: Sums
    pairs: list[tuple[Sums, Sums]]


class InputSet:
    """Dense inputs with the masks of one distribution: what all cases of one setting and mask distribution share.

    Masks and float64 projections are made when first asked for and kept.

    Args:
        dense: weights and x to share with other mask distributions; made afresh if left out.
        source: an input set whose masks are copied instead of drawn.
    """

    def __init__(self, case: Case, dense: DenseInputs | None = None, source: InputSet | None = None) -> None:
        self.dense = dense or DenseInputs(case)
        self._source = source
        self.activation = case.activation
        self.mask_name = case.mask
        self._masks: list[npt.NDArray[np.bool_]] = []
        self._halves: list[tuple[Sums, Sums]] = []
        # By what they hold and the number of the copy; gone with the last case that uses them.
        self._in_common: WeakValueDictionary[tuple[str, int], torch.Tensor] = WeakValueDictionary()

    @property
    def dtype(self) -> torch.dtype:
        """dtype of W, x and y."""
        return self.dense.dtype

    @property
    def weight(self) -> torch.Tensor:
        """W, [d, h]; the gate matrix Wg of a GLU."""
        return self.dense.weight

    @property
    def weight_value(self) -> torch.Tensor:
        """Wv of a GLU, [d, h]."""
        return self.dense.weight_value

    def x(self, fresh: int) -> torch.Tensor:
        """The fresh-th independent x, [batch, h]."""
        return self.dense.x(fresh)

    def masks(self, nm: int) -> npt.NDArray[np.bool_]:
        """Boolean masks [nm, d, h]; True sends an element to the gate."""
        return np.stack([self.mask(i) for i in range(nm)])

    def mask(self, i: int) -> npt.NDArray[np.bool_]:
        """Mask i, [d, h]."""
        while len(self._masks) <= i:
            made = len(self._masks)
            self._masks.append(self._true_mask(made) if self._source is None else self._source.mask(made).copy())
        return self._masks[i]

    def in_common(self, name: str, copy: int, fill: Callable[[torch.Tensor], object]) -> torch.Tensor:
        """A matrix [d, h] in W's dtype that whoever asks by this name and number is given; nobody can write it."""
        found = self._in_common.get((name, copy))
        if found is None:
            room = SealedMemory(self.dense.d * self.dense.h, self.dtype)
            fill(room.tensor.view(self.dense.d, self.dense.h))
            found = self._in_common[name, copy] = room.seal().view(self.dense.d, self.dense.h)
        return found

    def forget_common(self) -> None:
        """Make what is had in common anew for who asks next: it may have been made of changed inputs."""
        self._in_common.clear()

    @property
    def masks_made(self) -> list[npt.NDArray[np.bool_]]:
        """The masks that were asked for so far."""
        return self._masks

    def reference(self, layer: LayerKind, nm: int, fresh: int) -> Float64:
        """y in float64, [batch, d], for the fresh-th x; what is not finite goes where the formula takes it."""
        with np.errstate(invalid="ignore"):
            return self._reference(layer, nm, fresh)

    def _reference(self, layer: LayerKind, nm: int, fresh: int) -> Float64:
        dense, tokens = self.dense, self.dense.tokens(fresh)
        if layer == "read":
            return np.broadcast_to(dense.row_sums.values[:, 0], (dense.batch, dense.d))
        if layer == "product":
            return dense.total.values[:, tokens].T
        if layer == "lu":
            return activate(dense.total.values[:, tokens], self.activation).T
        if layer == "glu":
            return (activate(dense.total.values[:, tokens], self.activation) * dense.value_total.values[:, tokens]).T
        y = np.zeros((dense.d, dense.batch))
        for i in range(nm):
            gate, value = self._gate_and_value(i)
            y += activate(gate.values[:, tokens], self.activation) * value.values[:, tokens]
        return y.T

    def terms(self, layer: LayerKind, nm: int, fresh: int, most: int | None = None) -> Terms:
        """What y is made of, with the sizes of the sums, for the fresh-th x; what errors are judged by.

        Args:
            most: how many tokens at most, the first ones.
        """
        dense, tokens = self.dense, self.dense.tokens(fresh)
        if most is not None:
            tokens = slice(tokens.start, min(tokens.stop, tokens.start + most))
        if layer == "read":
            return Terms(layer, dense.h, dense.row_sums, [])
        total = dense.total.of(tokens)
        if layer == "mglu":
            pairs = [self._gate_and_value(i) for i in range(nm)]
            return Terms(layer, dense.h, total, [(gate.of(tokens), value.of(tokens)) for gate, value in pairs])
        pairs = [(total, dense.value_total.of(tokens))] if layer == "glu" else []
        return Terms(layer, dense.h, total, pairs)

    def scale(self, nm: int, fresh: int) -> float:
        """Size that an error is held against where the reference is exactly zero (all-ones or all-zeros masks)."""
        totals = self.dense.total.values[:, self.dense.tokens(fresh)]
        return float(max(nm, 1) * np.linalg.norm(totals[np.isfinite(totals)] ** 2))

    def _gate_and_value(self, i: int) -> tuple[Sums, Sums]:
        while len(self._halves) <= i:
            self._halves.append(self._made_halves(len(self._halves)))
        return self._halves[i]

    def _made_halves(self, i: int) -> tuple[Sums, Sums]:
        def both() -> list[Float64]:
            gate, value = self.dense.halves(self.mask(i))
            return [*gate, *value]

        sums = self.dense.made_once(f"halves {self.mask_name} {i}", both)
        return Sums(*sums[:2]), Sums(*sums[2:])

    def _true_mask(self, i: int) -> npt.NDArray[np.bool_]:
        (mask,) = self.dense.made_once(f"mask {self.mask_name} {i}", lambda: [self._draw_mask(i)])
        return mask

    def _draw_mask(self, i: int) -> npt.NDArray[np.bool_]:
        shape = (self.dense.d, self.dense.h)
        if self.mask_name in ("ones", "zeros"):
            return np.full(shape, self.mask_name == "ones")
        ratio = float(self.mask_name.partition(":")[2])
        generator = self.dense.generator(16 + i)
        if ratio == 0.5:
            count = math.prod(shape)
            raw = np.frombuffer(generator.bytes(-(-count // 8)), np.uint8)
            return np.unpackbits(raw, count=count).view(np.bool_).reshape(shape)
        return generator.random(shape, dtype=np.float32) < ratio


def dense_key(case: Case) -> tuple[Any, ...]:
    """Cases with equal keys share one :class:`DenseInputs`."""
    return case.h, case.d, case.batch, case.dtype, case.seed, case.weights


def input_key(case: Case) -> tuple[Any, ...]:
    """Cases with equal keys share one :class:`InputSet`."""
    return *dense_key(case), case.activation, case.mask if case.nm else "none"


@dataclass
class Problem:
    """What a variant gets to prepare from: a case, device buffers, and the shared inputs.

    Attributes:
        weight: W, [d, h], row-major as ``nn.Linear`` stores it, on the case's device. A GLU's gate matrix. Of a format
            it is what codes and scales stand for, in fp32; those are had from :meth:`stored`.
        x: [batch, h]; read by the launch; its content is replaced between launches, its address is not.
        y: [batch, d], or [batch, h] of a whole block; written by the launch; poisoned with NaN before every check.
        copy: 0, or the number of this replica, whose matrices and masks have addresses of their own.
    """

    case: Case
    inputs: InputSet
    weight: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    copy: int = 0

    @classmethod
    def make(cls, case: Case, inputs: InputSet, offset: int = 0) -> Problem:
        """Move the inputs to the case's device; x and y start ``offset`` elements into their memory."""
        import torch

        def buffer(columns: int) -> torch.Tensor:
            memory = torch.empty(case.batch * columns + offset, dtype=inputs.dtype, device=case.device)
            return memory[offset:].view(case.batch, columns)

        weight = inputs.weight.to(case.device)
        x, y = buffer(case.h), buffer(case.outputs)
        problem = cls(case, inputs, weight, x, y)
        problem.load(0)
        return problem

    def replica(self, number: int = 1) -> Problem:
        """The same problem over buffers of its own, for modes that rotate buffers; on a CPU cases share W's copies.

        W is as it was given, whatever became of this problem's.
        """
        on_host = self.case.device_kind == "cpu"
        inputs = self.inputs
        if self.case.weights != SAME:
            return Problem(self.case, inputs, self.weight, self.x.clone(), self.y.clone(), number)
        weight = inputs.dense.copy_of("weight", number) if on_host else inputs.weight.to(self.case.device, copy=True)
        return Problem(self.case, inputs, weight, self.x.clone(), self.y.clone(), number)

    @property
    def weight_value(self) -> torch.Tensor:
        """Wv of a GLU, [d, h], on the case's device."""
        return self._further("weight_value")

    @property
    def weight_down(self) -> torch.Tensor:
        """Wd of a whole block, [h, d], on the case's device."""
        return self._further("weight_down")

    def _further(self, matrix: Literal["weight_value", "weight_down"]) -> torch.Tensor:
        dense = self.inputs.dense
        own = self.copy and self.case.device_kind == "cpu"
        found: torch.Tensor = dense.copy_of(matrix, self.copy) if own else getattr(dense, matrix)
        return found.to(self.case.device)

    def stored(self, matrix: Matrix = "weight") -> Quantised:
        """Codes and scales of W or Wv on the host, where weights have a format: a copy of the caller's own."""
        return self.inputs.dense.stored(matrix)

    def masks(self) -> npt.NDArray[np.bool_]:
        """Boolean masks [nm, d, h] on the host, for packing."""
        return self.inputs.masks(self.case.nm)

    def mask_tensor(self, i: int) -> torch.Tensor:
        """Mask i as a boolean tensor [d, h] on the case's device."""
        import torch

        mask = torch.from_numpy(self.inputs.mask(i))
        return mask.to(self.case.device, copy=bool(self.copy))

    def in_common(self, name: str, fill: Callable[[torch.Tensor], object]) -> torch.Tensor:
        """A matrix [d, h] that follows from W and the masks, in W's dtype; on a CPU cases of a setting have one.

        Args:
            name: says what it holds. fill: writes all of it; afterwards it can only be read.
        """
        import torch

        if self.case.device_kind == "cpu":
            return self.inputs.in_common(name, self.copy, fill)
        made = torch.empty_like(self.weight)
        fill(made)
        return made

    def mask_as_weight(self, i: int) -> torch.Tensor:
        """Mask i in W's dtype, ones and zeros [d, h], in common."""
        return self.in_common(f"mask {i}", lambda out: out.copy_(self.mask_tensor(i)))

    def load(self, fresh: int) -> None:
        """Copy the fresh-th x into place and poison y."""
        self.x.copy_(self.inputs.x(fresh))
        self.y.fill_(float("nan"))


def activate(values: Float64, activation: str) -> Float64:
    """The activation in float64; gelu is the exact (erf) form, as in ``torch.nn.functional.gelu``."""
    import torch

    function = getattr(torch.nn.functional, activation)
    return np.asarray(function(torch.from_numpy(np.ascontiguousarray(values))).numpy(), dtype=np.float64)


def host_bytes(case: Case) -> int:
    """Host memory that the shared inputs take: weights and byte masks, each twice (what variants get, and what results
    are judged by), references.
    """
    # Of a format, what codes stand for is fp32, and codes take a byte each.
    weights = 4 * case.itemsize if case.weights == SAME else 4 * 4 + 2
    weights += 0 if case.block == LAYER else 2 * case.itemsize
    return case.elements * (weights + 2 * case.nm) + 64 * case.d * case.batch * (case.nm + 2)
