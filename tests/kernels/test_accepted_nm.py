"""The numbers of masks that libraries exist for: said once, and meant by all who ask."""

from __future__ import annotations

import pytest

from mglubench.cases.vocabulary import NM_MAX
from mglubench.cli import kernel_options
from mglubench.errors import UsageError
from mglubench.kernels.accepted_nm import LIBRARY_NMS, in_words
from mglubench.kernels.inspect import subjects
from mglubench.kernels.operator_backends import BACKENDS
from mglubench.runner.verify import default_nms
from mglubench.system.resources import data_folder
from mglubench.variants.cuda_kernels import KERNELS
from mglubench.variants.registry import get_variant, inspectable
from tests.conftest import make_case


@pytest.mark.parametrize(
    ("numbers", "last", "words"),
    [
        (LIBRARY_NMS, "and", "1 to 8 and 16"),
        (LIBRARY_NMS, "or", "1 to 8 or 16"),
        (range(1, 17), "and", "1 to 16"),
        ((1, 2, 4), "and", "1, 2 and 4"),
        ((1, 2, 3, 8, 9, 10), "or", "1 to 3 or 8 to 10"),
        ((5,), "and", "5"),
    ],
)
def test_a_set_in_words(numbers: tuple[int, ...], last: str, words: str) -> None:
    assert in_words(numbers, last) == words


def test_the_readme_of_the_kernels_says_the_same() -> None:
    text = (data_folder("kernels_cuda") / "README.md").read_text()
    assert f"| `MGLU_NM` | {in_words(LIBRARY_NMS, ',').replace(' to ', '..').replace(' , ', ', ')} |" in text


@pytest.mark.parametrize("nm", range(1, NM_MAX + 1))
def test_variants_commands_and_the_operator_agree(nm: int) -> None:
    accepted = nm in LIBRARY_NMS
    for kind in KERNELS:
        if kind.layer != "mglu":
            continue
        case = make_case(variant=kind.name, nm=nm, dtype="float16", device="cuda")
        reason = get_variant(kind.name).why_unsupported(case)
        assert reason == (None if accepted else f"nm={nm} is not among 1 to 8 and 16")
        assert (nm in default_nms(kind.name, "cuda")) == accepted
        found = subjects(inspectable(), [kind.name], ["sm_90a"], [nm], ["float16"])
        assert bool(found) == accepted
    assert (nm in BACKENDS["cuda"].nms) == accepted
    assert nm in BACKENDS["cpu"].nms
    if accepted:
        assert kernel_options.nms(str(nm)) == [nm]
    else:
        with pytest.raises(UsageError, match=f"nm must be 1 to 8 or 16, got {nm}"):
            kernel_options.nms(str(nm))


def test_verify_checks_all_that_a_variant_takes_and_nothing_else() -> None:
    assert default_nms("flash-mglu-mma", "cuda") == LIBRARY_NMS
    assert default_nms("mglu-op", "cuda:1") == LIBRARY_NMS
    assert default_nms("mglu-op", "cpu") == tuple(range(1, NM_MAX + 1))
    assert default_nms("mglu-numba-naive", "cuda") == tuple(range(1, NM_MAX + 1))
