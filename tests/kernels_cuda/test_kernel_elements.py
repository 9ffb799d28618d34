"""The device functions of element.cuh, executed on the CPU as they stand, value by value."""

from __future__ import annotations

import pytest
from elements import Probe, check_activations, check_blanking, check_conversions, check_not_finite
from kernel_emulator import build_probe, skip_reason

pytestmark = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))


@pytest.mark.parametrize("check", [check_conversions, check_blanking, check_activations, check_not_finite])
@pytest.mark.parametrize("bf16", [False, True])
def test_device_functions_agree_with_numpy(bf16: bool, check) -> None:  # type: ignore[no-untyped-def]
    check(Probe(build_probe(bf16), bf16))
