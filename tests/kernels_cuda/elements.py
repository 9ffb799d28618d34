"""What element.cuh has to do: conversions, rounding, blanking and activations, value by value against numpy."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from kernel_emulator import GELU, RELU, SILU, activate, from_bits, to_bits

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 6e-8, 2.9e-8, 3.1e-8, 65504, 65519, 65520, -7e4])


class Probe:
    """The functions of one build of emu/element_probe.cpp."""

    def __init__(self, library: Path, bf16: bool) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.probe_nan_unless_finite.restype = ctypes.c_float
        self.bf16 = bf16

    def activate(self, values: np.ndarray, activation: int) -> np.ndarray:
        out = np.empty_like(values)
        self._library.probe_activate(_at(values), _at(out), len(values), activation)
        return out

    def from_float(self, values: np.ndarray) -> np.ndarray:
        out = np.empty(len(values), np.uint16)
        self._library.probe_from_float(_at(values), _at(out), len(values))
        return out

    def to_float(self, pairs: np.ndarray) -> np.ndarray:
        out = np.empty(2 * len(pairs), np.float32)
        self._library.probe_to_float(_at(pairs), _at(out), len(pairs))
        return out

    def first(self, name: str, eight: np.ndarray, count: int) -> np.ndarray:
        out = np.empty(8, np.uint16)
        getattr(self._library, f"probe_{name}")(_at(eight), _at(out), count)
        return out

    def nan_unless_finite(self, y: float, t: float) -> float:
        return float(self._library.probe_nan_unless_finite(ctypes.c_float(y), ctypes.c_float(t)))


def check_elements(probe: Probe) -> None:
    """Everything below; raises AssertionError."""
    check_conversions(probe)
    check_blanking(probe)
    check_activations(probe)
    check_not_finite(probe)


def check_conversions(probe: Probe) -> None:
    """Every bit pattern to fp32; to the nearest element, ties to even, and their neighbours."""
    with np.errstate(invalid="ignore", over="ignore"):
        _check_conversions(probe)


def _check_conversions(probe: Probe) -> None:
    bits = np.arange(65536, dtype=np.uint16)
    pairs = bits.astype(np.uint32) | bits[::-1].astype(np.uint32) << 16
    got = probe.to_float(pairs).reshape(-1, 2)
    for half, wanted in ((0, bits), (1, bits[::-1])):
        np.testing.assert_array_equal(got[:, half], from_bits(wanted, probe.bf16).astype(np.float32))
    exact = from_bits(bits, probe.bf16).astype(np.float32)
    exact = exact[np.isfinite(exact)]
    above = np.nextafter(exact, np.float32(np.inf))
    ties = (exact.astype(np.float64)[:-1] + exact.astype(np.float64)[1:]) / 2
    values = [exact, above, np.nextafter(exact, np.float32(-np.inf)), ties, SPECIAL]
    values += [np.nextafter(ties.astype(np.float32), np.float32(side)) for side in (np.inf, -np.inf)]
    tried = np.concatenate(values).astype(np.float32)
    wanted = to_bits(tried, probe.bf16)
    got = probe.from_float(tried)
    nan = np.isnan(tried)
    np.testing.assert_array_equal(got[~nan], wanted[~nan])
    assert np.isnan(from_bits(got[nan], probe.bf16)).all()


def check_blanking(probe: Probe) -> None:
    """What lies beyond the count is +0 and never read."""
    eight = np.arange(0x8001, 0x8009, dtype=np.uint16)
    for count in range(-3, 12):
        kept = min(max(count, 0), 8)
        wanted = np.where(np.arange(8) < count, eight, 0)
        np.testing.assert_array_equal(probe.first("keep_first", eight, count), wanted)
        np.testing.assert_array_equal(probe.first("gather_first", eight, kept), wanted)


def check_activations(probe: Probe) -> None:
    """Within four units of fp32 of the definition; of gelu, whose 1 + erf cancels, within two of its argument.

    Below -88 the kernels' silu is 0, where the definition has up to 1e-36.
    """
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 3, 4000), np.linspace(-100, 100, 2001), [1e-20, -1e-20]]).astype(np.float32)
    for activation in (SILU, GELU, RELU):
        wanted = activate(values.astype(np.float64), activation)
        limit = 2.0**-24 * (4 * np.abs(wanted) + (2 * np.abs(values) if activation == GELU else 0)) + 1e-36
        off = np.abs(probe.activate(values, activation) - wanted) > limit
        assert not off.any(), f"activation {activation} is off at {values[off][:3]}"
        special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38], np.float32)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(
                probe.activate(special, activation), activate(special.astype(np.float64), activation).astype(np.float32)
            )


def check_not_finite(probe: Probe) -> None:
    assert probe.nan_unless_finite(2.5, -3.0) == 2.5
    for bad in (np.inf, -np.inf, np.nan):
        assert np.isnan(probe.nan_unless_finite(2.5, bad))


def _at(array: np.ndarray) -> Any:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
