"""Which processor CPU kernels are compiled for: its features, and how many fp32 numbers its registers hold.

That is the processor Numba compiles for, unless :func:`targeting` says otherwise: machine code of others is made to be
looked at (:mod:`~mglubench.kernels.cpu_inspect`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

WIDEST, AVX2_LANES, LEAST_LANES = 16, 8, 4


class CpuTarget(NamedTuple):
    """A processor, by LLVM's names for it.

    Attributes:
        name: as tables call it. features: what the kernels ask for, without signs. told: features as LLVM is told of
            them, beside those that the processor's name implies.
    """

    name: str
    triple: str
    cpu: str
    features: frozenset[str]
    told: str = ""

    @property
    def is_arm(self) -> bool:
        """Whether it is AArch64."""
        return self.triple.startswith(("aarch64", "arm64"))

    @property
    def lanes(self) -> int:
        """Numbers of fp32 that a vector register holds."""
        if "avx512f" in self.features:
            return WIDEST
        return AVX2_LANES if "avx2" in self.features else LEAST_LANES

    @property
    def registers(self) -> int:
        """Vector registers."""
        return 32 if self.is_arm or "avx512f" in self.features else 16


AVX2 = CpuTarget("avx2", "x86_64-unknown-linux-gnu", "haswell", frozenset(("avx2", "fma", "f16c")))
NEON = CpuTarget("neon", "aarch64-unknown-linux-gnu", "neoverse-n1", frozenset(("neon",)))
ELSEWHERE = {target.name: target for target in (AVX2, NEON)}

_chosen: CpuTarget | None = None


def target() -> CpuTarget:
    """The processor that is compiled for."""
    return _chosen or here()


def has_feature(name: str) -> bool:
    """Whether it has a feature, by LLVM's name for it."""
    return name in target().features


@contextmanager
def targeting(other: CpuTarget) -> Iterator[None]:
    """Make shapes and code for another processor inside."""
    global _chosen
    before, _chosen = _chosen, other
    try:
        yield
    finally:
        _chosen = before


@cache
def here() -> CpuTarget:
    """What Numba compiles for: this machine's processor, or what its settings name."""
    import llvmlite.binding as llvm
    from numba import config

    set_by_user = vars(config)
    cpu, told = set_by_user.get("CPU_NAME"), set_by_user.get("CPU_FEATURES")
    if cpu or told:
        found = frozenset(word[1:] for word in (told or "").split(",") if word.startswith("+"))
        name = str(cpu or llvm.get_host_cpu_name())
        return CpuTarget(name, str(llvm.get_default_triple()), name, found, told or "")
    features = llvm.get_host_cpu_features()
    name, has = str(llvm.get_host_cpu_name()), frozenset(word for word, is_there in features.items() if is_there)
    return CpuTarget(name, str(llvm.get_default_triple()), name, has, str(features.flatten()))
