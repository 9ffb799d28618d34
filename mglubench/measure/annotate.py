"""NVTX ranges: what a profiler's timeline calls each stretch of a sweep.

Every step of a case runs inside a push/pop range of the domain ``mglubench`` whose name is the case key, coloured by
backend; inside it a range names the phase. Cases take turns, so a case opens its range anew for every step::

    mglubench: swiglu/2048x8192/nm0/b1/...        mglubench: mglu-naive/2048x8192/nm1/b1/...
    └─ prepare, warm-up                            └─ prepare, warm-up
    └─ timed                                       └─ timed
    └─ timed                                       └─ check

Ranges never nest cases in each other, so rows join by key. In an ncu filter a push/pop range needs a trailing ``/``,
and the slashes of a key are escaped by a backslash.

Without a profiler the NVTX library hands out a domain that does nothing; ``python -m tests.benchmarks.annotation`` says
what ranges cost then (about a microsecond per turn of a case, outside the samples).
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Literal

DOMAIN = "mglubench"
Phase = Literal["prepare", "warm-up", "timed", "check"]

# 0xRRGGBB; the same family of colours as in the charts.
BACKEND_COLOURS = {"torch": 0xD55E00, "numba": 0x0072B2, "cuda": 0x009E73, "triton": 0xCC79A7}
PHASE_COLOURS: dict[Phase, int] = {"prepare": 0x999999, "warm-up": 0xE69F00, "timed": 0x56B4E9, "check": 0x666666}
OTHER_COLOUR = 0x000000

# Where NVTX finds the tool that listens; Nsight's tools set it for the programs that they start.
INJECTION = "NVTX_INJECTION64_PATH"


class _Range(AbstractContextManager[None]):
    """A push/pop range; attributes are made on entry, when the domain is known to listen or not."""

    __slots__ = ("_category", "_colour", "_domain", "_message")

    def __init__(self, message: str, colour: int, category: str) -> None:
        self._domain = _domain()
        self._message, self._colour, self._category = message, colour, category

    def __enter__(self) -> None:
        domain = self._domain
        domain.push_range(domain.get_event_attributes(self._message, self._colour, self._category))

    def __exit__(self, *error: object) -> None:
        self._domain.pop_range()


def case_range(key: str, backend: str) -> AbstractContextManager[None]:
    """The range of one step of a case; ``key`` is its name, ``backend`` its colour and category."""
    return _Range(key, BACKEND_COLOURS.get(backend, OTHER_COLOUR), backend)


def phase_range(phase: Phase) -> AbstractContextManager[None]:
    """The range of a phase, inside a case's."""
    return _Range(phase, PHASE_COLOURS[phase], "phase")


@cache
def _domain() -> Any:
    """The project's domain; a stand-in that does nothing where no profiler was attached when the process started."""
    import nvtx

    domain = nvtx.get_domain(DOMAIN)
    attached = INJECTION in os.environ
    return domain if not attached or hasattr(domain, "handle") else _insistent_domain()


def _insistent_domain() -> Any:
    """The domain in spite of a tool's "not enabled".

    The nvtx package asks an attached tool whether the domain is enabled and records nothing if it is not. A tool older
    than the question cannot say yes: seen with Nsight Systems 2022.4, whose timelines were empty. Pushing into a domain
    that really is disabled costs no more than the call.
    """
    from nvtx._lib import lib

    domain = object.__new__(lib.Domain)
    domain.handle = lib.DomainHandle(DOMAIN)
    domain.__init__(DOMAIN)
    return domain
