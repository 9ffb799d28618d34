"""All variants by name: the built-in ones, and those that installed packages offer as entry points.

A package adds variants without a change here::

    [project.entry-points."mglubench.variants"]
    my-kernel = "my_package.kernels:MyVariant"

A package that cannot be used costs a warning, and an error only where it is named.

Built-in modules import torch and numba only inside the functions that need them, so listing names is quick.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType

from mglubench.cases.vocabulary import LAYERS, near
from mglubench.errors import UsageError
from mglubench.kernels.inspect import Inspectable
from mglubench.system.plain_text import first_line, plain
from mglubench.variants.base import Variant

GROUP = "mglubench.variants"

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


@dataclass(frozen=True, slots=True)
class _Registry:
    """Variants by name, and by the name of its entry point why something that a package offers is none."""

    variants: Mapping[str, Variant]
    broken: Mapping[str, str]


def variants() -> Mapping[str, Variant]:
    """Every registered variant by name, in table order."""
    return _registry().variants


def broken_plugins() -> Mapping[str, str]:
    """Why what an installed package offers cannot be used, by the name of its entry point."""
    return _registry().broken


def get_variant(name: str) -> Variant:
    """The variant of this name; raises :class:`UsageError` with the near matches, or what is wrong with its package."""
    known = variants()
    if name in known:
        return known[name]
    if name in broken_plugins():
        raise UsageError(broken_plugins()[name])
    raise UsageError(f"unknown variant {name!r}; {near(name, known)}")


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


@cache
def _registry() -> _Registry:
    """Found once per process; every package that is broken is a warning."""
    found: dict[str, Variant] = {}
    broken: dict[str, str] = {}
    for location in BUILT_IN:
        module, _, attribute = location.partition(":")
        variant = getattr(importlib.import_module(f"mglubench.variants.{module}"), attribute)()
        found[variant.name] = variant
    for entry in entry_points(group=GROUP):
        try:
            plugin = _load(entry.name, entry.load)
            if plugin.name in found:
                raise UsageError(f"entry point {entry.value} offers variant {plugin.name!r}, which exists already")
            found[plugin.name] = plugin
        except UsageError as error:
            broken[plain(entry.name)] = plain(str(error))
            warnings.warn(plain(str(error)), stacklevel=3)
    return _Registry(MappingProxyType(found), MappingProxyType(broken))


def _load(name: str, load: Callable[[], object]) -> Variant:
    try:
        # What a package prints while it is imported is no part of a table or a document.
        with redirect_stdout(sys.stderr):
            offered = load()
            variant = offered() if isinstance(offered, type) else offered
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"entry point {name!r} of group {GROUP} cannot be loaded: {type(error).__name__}: {first_line(error)}; "
            "fix or uninstall the package that offers it"
        ) from error
    if not isinstance(variant, Variant):
        raise UsageError(f"entry point {name!r} of group {GROUP} is a {type(variant).__name__}, not a Variant")
    if why := _why_unfit(variant):
        raise UsageError(f"entry point {name!r} of group {GROUP} offers a variant {why}")
    return variant


def _why_unfit(variant: Variant) -> str | None:
    """What a variant lacks of what tables and keys are made of."""
    for attribute in ("name", "summary", "layer"):
        if not isinstance(getattr(variant, attribute, None), str):
            return f"without a {attribute}"
    if not re.fullmatch(r"[^\s,/-][^\s,/]*", variant.name) or plain(variant.name) != variant.name:
        return f"whose name {plain(variant.name)!r} has characters that no name may have"
    if variant.layer not in LAYERS:
        return f"of an unknown layer {variant.layer!r}; known: {', '.join(LAYERS)}"
    return None
