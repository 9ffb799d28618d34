"""Data-parallel training on two CPU processes averages what one process computes."""

from __future__ import annotations

import os
import subprocess
import sys

import torch

from mglubench.nn import SwiMGLU
from tests.conftest import ROOT


def test_two_processes_have_the_gradients_of_one(tmp_path):
    command = [sys.executable, "-m", "tests.nn.ddp_program"]
    env = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    arguments = [str(tmp_path / "meeting"), str(tmp_path / "gradients.pt")]
    started = [subprocess.Popen([*command, str(rank), *arguments], cwd=ROOT, env=env) for rank in (0, 1)]
    try:
        assert [process.wait(120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    torch.manual_seed(0)
    layer, x = SwiMGLU(8, 6, 2), torch.randn(4, 8)
    layer(x).square().mean().backward()
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    for name, p in layer.named_parameters():
        torch.testing.assert_close(found[name], p.grad)
