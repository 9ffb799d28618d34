"""All variants by name: the built-in ones, and those of packages, files and functions of a user's own.

A package adds variants without a change here::

    [project.entry-points."mglubench.variants"]
    my-kernel = "my_package.kernels:MyVariant"

What cannot be used (:mod:`mglubench.variants.plugins`) costs a warning, and where it is named a row with the reason.

Built-in modules import torch and numba only inside the functions that need them, so listing names is quick.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import near
from mglubench.errors import UsageError
from mglubench.kernels.inspect import Inspectable
from mglubench.system.plain_text import first_line, plain
from mglubench.variants.base import Variant
from mglubench.variants.mlp_block import in_block
from mglubench.variants.plugins import FILES_VARIABLE, BrokenPlugin, plugins, why_unfit

if TYPE_CHECKING:
    from mglubench.kernels.cpu_choice import CpuKernel

Kind = TypeVar("Kind")

# In the order of tables: the ceilings, the baselines, then MGLU from the slowest idea to the fastest.
BUILT_IN = (
    "stream_read:StreamRead",
    "stream_read:StreamReadStreams",
    "stream_read:StreamReadAhead",
    "cuda_kernels:StreamReadCuda",
    "matrix_product:MatrixProduct",
    "torch_eager:LinearUnit",
    "torch_eager:SwiGLU",
    "torch_eager:SwiGLUMerged",
    "torch_compiled:SwiGLUCompiled",
    "torch_lowbit:SwiGLUDequantise",
    "torch_lowbit:SwiGLUTorchLowBit",
    "numba_cpu:SwiGLUNumbaCPU",
    "cuda_kernels:SwiGLUFused",
    "torch_eager:MGLUNaive",
    "torch_eager:MGLUNaiveFloat",
    "torch_eager:MGLUNaiveComplement",
    "torch_eager:MGLUPremasked",
    "torch_lowbit:MGLUDequantise",
    "torch_compiled:MGLUCompiled",
    "numba_cpu:MGLUNumbaCPU",
    "numba_cuda:MGLUNumbaNaive",
    "numba_cuda:MGLUNumbaSplitK",
    "numba_cuda:MGLUNumbaPacked",
    "triton_kernel:FlashMGLUTriton",
    "cuda_kernels:FlashMGLUPaper",
    "cuda_kernels:FlashMGLUPacked",
    "cuda_kernels:FlashMGLUMma",
    "cuda_kernels:FlashMGLUBulk",
    "mglu_op:MGLUOperator",
)


@dataclass(frozen=True, slots=True)
class _Registry:
    """Variants by name; why plug-ins are none, by theirs; and the names of both that a user asked for by a file."""

    variants: Mapping[str, Variant]
    broken: Mapping[str, str]
    asked: tuple[str, ...]


# Variants that this process alone knows, for the length of a call.
_added: dict[str, Variant] = {}


def variants() -> Mapping[str, Variant]:
    """Every registered variant by name, in table order."""
    return {**_registry().variants, **_added}


def broken_plugins() -> Mapping[str, str]:
    """Why what a package or a file offers cannot be used, by the name of its entry point or file."""
    return _registry().broken


def asked_plugins() -> tuple[str, ...]:
    """Names of what a user's files offer, in vain or not; ``auto`` includes them all."""
    return _registry().asked


def get_variant(name: str) -> Variant:
    """The variant of this name; of a plug-in that cannot be used, one whose cases say why.

    Raises:
        UsageError: there is none; the message has the near matches.
    """
    found = _added.get(name) or _registry().variants.get(name)
    if found:
        return found
    if name in broken_plugins():
        return BrokenPlugin(name, broken_plugins()[name])
    raise UsageError(f"unknown variant {name!r}; {near(name, variants())}")


def variant_of(case: Case) -> Variant:
    """What computes a case: its variant, or the whole block around it; raises as :func:`get_variant` does."""
    return in_block(get_variant(case.variant), case)


@contextmanager
def added(variant: Variant) -> Iterator[None]:
    """A variant that is known in this process meanwhile.

    Raises:
        UsageError: its name is taken, or it lacks what a variant needs.
    """
    if why := why_unfit(variant):
        raise UsageError(f"a variant {why}")
    if variant.name in variants():
        raise UsageError(f"variant {variant.name!r} exists already; give another name")
    _added[variant.name] = variant
    try:
        yield
    finally:
        del _added[variant.name]


def why_not_here(variant: Variant, kind: str) -> str | None:
    """:meth:`Variant.why_unavailable`, of a variant that may fail even in that."""
    try:
        return variant.why_unavailable(kind)
    except Exception as error:
        return f"it cannot say whether it runs here: {type(error).__name__}: {first_line(error)}"


def check_names(names: Iterable[str]) -> None:
    """Raise :class:`UsageError` for the first of a sweep's variants (``auto``, ``NAME`` or ``-NAME``) that is none."""
    for name in names:
        if name != "auto":
            get_variant(name.removeprefix("-"))


def has_masks(name: str) -> bool:
    """Whether the named variant is an MGLU."""
    return get_variant(name).layer == "mglu"


def inspectable() -> dict[str, Inspectable]:
    """Kernels whose machine code can be made here, by the name of their variant."""
    kernels = {name: getattr(variant, "kernel", variant) for name, variant in variants().items()}
    return {name: kernel for name, kernel in kernels.items() if isinstance(kernel, Inspectable)}


def cpu_kernels() -> dict[str, CpuKernel]:
    """Kernels that run on a CPU, by the name of their variant."""
    from mglubench.kernels.cpu_choice import CpuKernel

    return _kernels(CpuKernel)


def asked_kernels(kind: type) -> list[str]:
    """Variants of the files that a user named whose kernels are of this kind."""
    return [name for name in asked_plugins() if name in _kernels(kind)]


def _kernels(kind: type[Kind]) -> dict[str, Kind]:
    kernels = {name: getattr(variant, "kernel", None) for name, variant in variants().items()}
    return {name: kernel for name, kernel in kernels.items() if isinstance(kernel, kind)}


def _registry() -> _Registry:
    return _found(os.environ.get(FILES_VARIABLE, ""))


@lru_cache(maxsize=4)
def _found(files: str) -> _Registry:
    """Found once per process and list of files; everything that is broken is a warning."""
    found: dict[str, Variant] = {}
    broken: dict[str, str] = {}
    asked: list[str] = []
    for location in BUILT_IN:
        module, _, attribute = location.partition(":")
        variant = getattr(importlib.import_module(f"mglubench.variants.{module}"), attribute)()
        found[variant.name] = variant
    for plugin in plugins(files):
        try:
            offered = {variant.name: variant for variant in plugin.variants()}
            if taken := next((name for name in offered if name in found), None):
                raise UsageError(f"{plugin.words} offers variant {taken!r}, which exists already")
            found |= offered
            asked += offered if plugin.asked else ()
        except UsageError as error:
            broken[plugin.name] = plain(str(error))
            asked += [plugin.name] if plugin.asked else ()
            warnings.warn(plain(str(error)), stacklevel=4)
    return _Registry(found, broken, tuple(asked))
