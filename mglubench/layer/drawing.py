"""Numbers of one problem, drawn on the host from its seed: the same whatever the number of cores or processes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import SAME
from mglubench.layer.non_finite import plant
from mglubench.system.limits import affinity
from mglubench.system.sealed import SealedMemory
from mglubench.system.shelf import Shelf

if TYPE_CHECKING:
    import torch

# What numbers are drawn for beside W and Wv, whose streams are 0 and 1; masks have those from 16 on.
TOKENS, DOWN = 2, 3
# Numbers drawn by one generator.
_DRAWN_BLOCK = 1 << 22
Scalar = TypeVar("Scalar", bound=np.generic)


class Drawing:
    """Draws the numbers of one shape, batch, dtype and seed.

    Args:
        sealed: whether what is drawn can only be read afterwards. non_finite: whether some of it is NaN or infinite
            (:mod:`mglubench.layer.non_finite`). shelf: where what is drawn and computed may lie already, made by
            another process.
    """

    def __init__(self, case: Case, *, sealed: bool, non_finite: bool, shelf: Shelf | None) -> None:
        import torch

        self.sealed, self._non_finite = sealed, non_finite
        self._shelf, self._group = shelf, "/".join(map(str, (*dense_key(case), non_finite)))
        self._entropy = case.seed, case.h, case.d
        self._has_format = case.weights != SAME
        self.dtype: torch.dtype = getattr(torch, case.dtype)

    def made_once(self, name: str, make: Callable[[], Sequence[npt.NDArray[Scalar]]]) -> Sequence[npt.NDArray[Scalar]]:
        """Arrays of one shape and dtype: from the shelf if they lie there, else made, and put there."""
        if self._shelf is None:
            return make()
        return list(self._shelf.array(f"{self._group} {name}", lambda: np.stack(make())))

    def generator(self, stream: int, block: int = 0) -> np.random.Generator:
        """An independent generator per use of the seed, and per block of what is drawn for that use."""
        entropy = [*self._entropy, stream, block]
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy)))

    def normal(self, stream: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
        """Normal numbers in the case's dtype."""
        import torch

        if self._shelf is None:
            return self._drawn(stream, shape, scale)
        drawn = self.made_once(f"drawn {stream}", lambda: [self._drawn(stream, shape, scale).view(torch.uint8).numpy()])
        return read_only(drawn[0]).view(self.dtype)

    def _drawn(self, stream: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
        """Drawn afresh: blocks side by side, whatever the number of cores the same."""
        import torch

        room = SealedMemory(math.prod(shape), self.dtype) if self.sealed else None
        out = torch.empty(math.prod(shape), dtype=self.dtype) if room is None else room.tensor

        def draw(block: int) -> None:
            part = out[block * _DRAWN_BLOCK : (block + 1) * _DRAWN_BLOCK]
            values = self.generator(stream, block).standard_normal(len(part), dtype=np.float32)
            values *= np.float32(scale)
            part.copy_(torch.from_numpy(values))

        with ThreadPoolExecutor(affinity()) as pool:
            list(pool.map(draw, range(-(-len(out) // _DRAWN_BLOCK))))
        # No format has a code for such weights, so only x has them there.
        if self._non_finite and (stream == TOKENS or (stream < TOKENS and not self._has_format)):
            plant(out.view(shape), stream)
        return (out if room is None else room.seal()).reshape(shape)


def read_only(array: npt.NDArray[np.generic]) -> torch.Tensor:
    """A tensor over memory that can only be read; torch warns of that, and it is meant."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)


def dense_key(case: Case) -> tuple[Any, ...]:
    """Cases with equal keys share one :class:`DenseInputs`."""
    return case.h, case.d, case.batch, case.dtype, case.seed, case.weights
