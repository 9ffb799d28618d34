"""The contract of a variant: one way to compute one layer.

A variant prepares (allocates, packs, compiles) from a :class:`~mglubench.layer.problem.Problem` and returns a launch: a
function without arguments that reads ``problem.x``, writes ``problem.y``, and does nothing else. Third parties register
a subclass, or an instance, under the entry-point group ``mglubench.variants``.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import ACTIVATIONS, ITEMSIZE, NM_MAX, SAME, LayerKind
from mglubench.kernels.accepted_nm import in_words
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.problem import Problem

Launch = Callable[[], None]

# Method by its name of before: variants written for that name still run, and are heard.
_FORMER = {"why_unavailable": "unavailable", "why_unsupported": "unsupported"}


class Variant(ABC):
    """One implementation of one layer.

    Attributes:
        name: unique, lower case with hyphens; used in sweeps, rows and keys.
        summary: one line for ``mglubench variants``.
        layer: what it computes (``read``, ``lu``, ``glu``, ``mglu``).
        backend: who runs it (``torch``, ``numba``, ``cuda``, ``triton``); groups colours in plots.
        devices: device kinds it can run on. dtypes: of W, x and y. formats: of W, values of the axis ``weights``.
            activations: that it computes.
        nm_max, batch_max: largest nm and batch it accepts.
        default: whether ``--variants auto`` includes it.
        method: what it rounds where (:mod:`mglubench.layer.rounding`), by which each element of its output is judged;
            ``any`` allows what the least exact method needs.
        nan_for_infinity: activations under which it may give NaN where the definition has an infinity. NaN itself is
            owed by all; torch's gelu on a CPU is 0 * inf at infinity, and layers written in torch inherit that.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    layer: ClassVar[LayerKind]
    backend: ClassVar[str] = "torch"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    dtypes: ClassVar[tuple[str, ...]] = tuple(ITEMSIZE)
    formats: ClassVar[tuple[str, ...]] = (SAME,)
    activations: ClassVar[tuple[str, ...]] = ACTIVATIONS
    nm_max: ClassVar[int] = NM_MAX
    batch_max: ClassVar[int] = 1024
    default: ClassVar[bool] = True
    method: ClassVar[str] = "any"
    nan_for_infinity: ClassVar[tuple[str, ...]] = ("gelu",)

    def __init_subclass__(cls, **keywords: object) -> None:
        """Keep both names of a method one method in every class, so that ``super()`` by either name goes one way."""
        super().__init_subclass__(**keywords)
        for name, former in _FORMER.items():
            owner = next(base for base in cls.__mro__ if name in vars(base) or former in vars(base))
            written = vars(owner)
            if name not in written:
                setattr(cls, name, written[former])
                words = f"{owner.__qualname__}.{former} is named {name} now"
                warnings.warn(words, DeprecationWarning, stacklevel=2)
            elif former not in written:
                setattr(cls, former, written[name])

    def method_of(self, case: Case) -> str:
        """The method of one case; ``NAME/N`` where it keeps N running sums per projection."""
        return self.method

    def why_unavailable(self, device: str) -> str | None:
        """Why this variant cannot run here on a device of this kind; ``None`` if it can."""
        if device not in self.devices:
            return f"runs on {' and '.join(self.devices)} only"
        return None

    def why_refused(self, case: Case) -> str | None:
        """Why this case is not run; what a variant says of itself comes after what holds for all."""
        if case.weights not in self.formats:
            return f"weights {case.weights} are not among {', '.join(self.formats)}"
        if case.activation not in self.activations:
            return f"activation {case.activation} is not among {', '.join(self.activations)}"
        return self.why_unsupported(case)

    def why_unsupported(self, case: Case) -> str | None:
        """Why this variant cannot compute this case anywhere; ``None`` if it can."""
        if case.dtype not in self.dtypes:
            return f"dtype {case.dtype} is not among {', '.join(self.dtypes)}"
        if case.nm > self.nm_max:
            return f"nm={case.nm} is above {self.nm_max}"
        accepted = self.accepted_nm(case.device_kind)
        if case.nm and case.nm not in accepted:
            return f"nm={case.nm} is not among {in_words(accepted)}"
        if case.batch > self.batch_max:
            return f"batch={case.batch} is above {self.batch_max}"
        return None

    unavailable = why_unavailable
    unsupported = why_unsupported

    def accepted_nm(self, device_kind: str) -> tuple[int, ...]:
        """Every nm that it takes on a device of this kind, for a layer with masks."""
        return tuple(range(1, self.nm_max + 1))

    def declare(self, case: Case) -> Ledger:
        """Bytes and FLOPs of one run; override where the variant moves more than its layer needs."""
        return declare(self.layer, case)

    def resident_bytes(self, case: Case) -> int:
        """Device memory that a prepared launch holds, beside x and y; checked before anything is allocated."""
        ledger = self.declare(case)
        return ledger.weights + ledger.masks

    def passing_bytes(self, case: Case) -> int:
        """Of the resident bytes, what is only there while the launch runs."""
        return 0

    def common_bytes(self, case: Case) -> Mapping[str, int]:
        """Of the resident bytes on a CPU, what the cases of a setting have once (:meth:`Problem.in_common`), by name.

        Of those that say the same name, the one with most says how much it is.
        """
        return {}

    @abstractmethod
    def prepare(self, problem: Problem) -> Launch:
        """Do all work that a user does once per layer, and return the launch.

        Raises:
            MglubenchError: what is missing or failed, in one line.
        """
