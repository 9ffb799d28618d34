"""Every kernel through its battery, in host emulation of its source (not a GPU run)."""

from __future__ import annotations

import pytest
from battery import KERNELS, Stage, stages
from kernel_emulator import skip_reason
from problems import check

pytestmark = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))

# What runs under a sanitizer is in test_kernel_sanitizers.py.
ALL = [(kernel, stage) for kernel in KERNELS for stage in stages(kernel) if not stage.library.sanitizer]


@pytest.mark.parametrize(("kernel", "stage"), ALL, ids=[f"{kernel}-{stage.name}" for kernel, stage in ALL])
def test_kernel_stands_its_battery(kernel: str, stage: Stage) -> None:
    check(stage.library, stage.problems)
