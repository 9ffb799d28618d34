"""All variants by name: the built-in ones, and those that installed packages offer as entry points.

A package adds variants without a change here::

    [project.entry-points."mglubench.variants"]
    my-kernel = "my_package.kernels:MyVariant"

Built-in modules import torch and numba only inside the functions that need them, so listing names is quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType

from mglubench.cases.vocabulary import near
from mglubench.errors import UsageError
from mglubench.kernels.inspect import Inspectable
from mglubench.variants.base import Variant

GROUP = "mglubench.variants"

# In the order of tables: the ceilings, the baselines, then MGLU from the slowest idea to the fastest.
BUILT_IN = (
    "stream_read:StreamRead",
    "cuda_kernels:StreamReadCuda",
    "matrix_product:MatrixProduct",
    "torch_eager:LinearUnit",
    "torch_eager:SwiGLU",
    "torch_eager:SwiGLUMerged",
    "torch_compiled:SwiGLUCompiled",
    "numba_cpu:SwiGLUNumbaCPU",
    "cuda_kernels:SwiGLUFused",
    "torch_eager:MGLUNaive",
    "torch_eager:MGLUNaiveFloat",
    "torch_eager:MGLUNaiveComplement",
    "torch_eager:MGLUPremasked",
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


@cache
def variants() -> MappingProxyType[str, Variant]:
    """Every registered variant by name, in table order."""
    found: dict[str, Variant] = {}
    for location in BUILT_IN:
        module, _, attribute = location.partition(":")
        variant = getattr(importlib.import_module(f"mglubench.variants.{module}"), attribute)()
        found[variant.name] = variant
    for entry in entry_points(group=GROUP):
        plugin = _load(entry.name, entry.load)
        if plugin.name in found:
            raise UsageError(f"entry point {entry.value} offers variant {plugin.name!r}, which exists already")
        found[plugin.name] = plugin
    return MappingProxyType(found)


def get_variant(name: str) -> Variant:
    """The variant of this name; raises :class:`UsageError` with the near matches."""
    known = variants()
    if name not in known:
        raise UsageError(f"unknown variant {name!r}; {near(name, known)}")
    return known[name]


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


def _load(name: str, load: object) -> Variant:
    try:
        offered = load() if callable(load) else load
        variant = offered() if isinstance(offered, type) else offered
    except Exception as error:
        raise UsageError(
            f"entry point {name!r} of group {GROUP} cannot be loaded: {type(error).__name__}: {error}; "
            "fix or uninstall the package that offers it"
        ) from error
    if not isinstance(variant, Variant):
        raise UsageError(f"entry point {name!r} of group {GROUP} is a {type(variant).__name__}, not a Variant")
    return variant
