"""How the programs that run a kernel without its GPU judge what came out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.cases.case import Case
from mglubench.executors.local import LocalSession
from mglubench.layer.input_set import InputSet
from mglubench.layer.rounding import bound
from mglubench.measure.check import compare
from mglubench.variants.registry import get_variant

# nm, tokens, h, d of the tests that need a GPU.
ON_A_CARD = ((1, 1, 2048, 256), (3, 2, 1000, 33), (8, 3, 4096, 64), (16, 1, 64, 7))


def agrees_on_a_card(variant: str, dtype: str, nm: int, batch: int, h: int, d: int) -> None:
    """Run and judge as a sweep does; skipped with the reason where the machine, or what it has installed, cannot."""
    if reason := get_variant(variant).why_unavailable("cuda"):
        pytest.skip(reason)
    session = LocalSession()
    case = Case(variant, h, d, nm, batch, dtype, "silu", "bernoulli:0.5", "hot", "cuda")
    session.prepare(case)
    session.finish(case)
    session.close()


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


def errors_of(case: Case, inputs: InputSet, y: torch.Tensor, method: str) -> tuple[float, float]:
    """``||y - ref|| / ||ref||`` of what is finite, and the worst element as a share of what its method's rounding
    explains; infinite where NaN and infinities are not those of the definition.
    """
    bound_of_all = bound(inputs.terms("mglu", case.nm, 0), method, case.dtype, case.activation, "cuda")
    got, expected = y.double().numpy(), inputs.reference("mglu", case.nm, 0)
    check = compare(got, expected, inputs.scale(case.nm, 0), None, bound_of_all)
    finite = np.isfinite(expected)
    size = np.linalg.norm(expected[finite]) or inputs.scale(case.nm, 0)
    strange = check.unwritten or check.tamed or not np.isfinite(got[finite]).all()
    worst = float("inf") if strange else check.of_bound
    return float(np.linalg.norm(got[finite] - expected[finite]) / size), worst
