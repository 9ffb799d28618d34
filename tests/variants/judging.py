"""How the programs that run a kernel without its GPU judge what came out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.cases.case import Case
from mglubench.layer.problem import InputSet, activate
from tests.elementwise import element_bound, worst_ratio


def case_ids(tried: list[tuple[Case, str]]) -> list[str]:
    """Test ids that ``-k`` can tell apart."""
    return [f"case{number:02d}-{case.key}{bad}" for number, (case, bad) in enumerate(tried)]


def asked_for(request: pytest.FixtureRequest, test: str) -> list[tuple[Case, str]]:
    """The cases of the collected tests of a module whose names start with ``test``: ``-k`` makes them fewer."""
    mine = [item for item in request.session.items if item.path == request.path and item.name.startswith(test)]
    return [(item.callspec.params["case"], item.callspec.params["bad"]) for item in mine]  # type: ignore[attr-defined]


def spoil(inputs: InputSet, bad: str) -> None:
    """Put NaN or an infinity into the last column of the last row of W, and into the first token."""
    if bad:
        inputs.weight[-1, -1] = float(bad)
        if len(inputs.x(0)) > 1:
            inputs.x(0)[0, 0] = float(bad)


def errors_of(case: Case, inputs: InputSet, y: torch.Tensor) -> tuple[float, float]:
    """``||y - ref|| / ||ref||`` of what is finite, and the worst element in units of what its sums may lose."""
    expected = inputs.reference("mglu", case.nm, 0)
    x, w = inputs.x(0).double().numpy(), inputs.weight.double().numpy()
    bound = element_bound(x, w, inputs.masks(case.nm), None, lambda v: activate(v, case.activation), case.dtype)
    got = y.double().numpy()
    finite = np.isfinite(expected)
    size = np.linalg.norm(expected[finite]) or inputs.scale(case.nm, 0)
    return float(np.linalg.norm(got[finite] - expected[finite]) / size), worst_ratio(got, expected, bound)
