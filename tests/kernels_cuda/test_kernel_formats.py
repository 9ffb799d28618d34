"""Kernels over weights of a format, in host emulation (not a GPU run): bounds, bad arguments, planted bugs.

Whether they compute what their codes say is in the battery.
"""

from __future__ import annotations

import pytest
from battery import MMA, SWIGLU, coded
from kernel_emulator import FAULTS, Library, Problem, skip_reason
from problems import check, integer_codes, integer_problem

pytestmark = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))


@pytest.mark.skipif(skip_reason("asan") is not None, reason=str(skip_reason("asan")))
@pytest.mark.parametrize(("form", "kernel"), [("int4", MMA), ("mxfp4", SWIGLU)])
def test_codes_are_read_within_their_bounds(form: str, kernel: str) -> None:
    nm = 1 if kernel == MMA else 0
    check(Library(kernel, 1, weights=form, sanitizer="asan"), coded(form, nm)[:7])


def test_bad_arguments_are_refused() -> None:
    def one(status: int, fault: str = "", **overrides: int) -> Problem:
        options = {"status": status, "fault": fault, "overrides": overrides}
        return integer_codes(integer_problem(16, 72, 1, 2, False, 1, **options), "int8")

    wrong = [one(-4, w_row_stride=stride) for stride in (64, 72, 192)]
    check(Library(MMA, 2, weights="int8"), [*wrong, one(-1, FAULTS[1]), one(-5, "w off by 2"), one(-3, nm=1)])


# bug: (format, kernel, file, text, replacement)
BUGS = {
    "int8 off by one": (
        "int8",
        MMA,
        "formats.cuh",
        "<0x4140>(codes, 0x64646464u), 0x64806480u",
        "<0x4140>(codes, 0x64646464u), 0x64816480u",
    ),
    "bytes of another pair": ("int8", MMA, "formats.cuh", "permute_bytes<0x4342>", "permute_bytes<0x4243>"),
    "rows of bytes swapped": (
        "fp8-e4m3",
        MMA,
        "formats.cuh",
        "vector[half].z, vector[half].w};",
        "vector[half].w, vector[half].z};",
    ),
    "the scale of another row": ("fp8-e4m3", SWIGLU, "formats.cuh", "[row % 16];", "[row % 8];"),
    "the value's scale for the gate": (
        "int8",
        SWIGLU,
        "swiglu_fused.cu",
        "total[0] *= row_scale(p.gate",
        "total[0] *= row_scale(p.value",
    ),
    "nibbles of the next pair": ("int4", MMA, "formats.cuh", "codes >> (4 * j)", "codes >> (4 * j + 4)"),
    "a sixteenth left out": ("int4", MMA, "formats.cuh", "0x2c002c00u", "0x3c002c00u"),
    "scales of rows swapped": (
        "int4",
        SWIGLU,
        "formats.cuh",
        "__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)",
        "__uint_as_float(word & 0xffff0000u), __uint_as_float(word << 16)",
    ),
    "the scale of the next group": ("int4", MMA, "mma_tile.cuh", "next / 2 * 32", "(next + 1) / 2 * 32"),
    "the scale of the other half": (
        "mxfp4",
        MMA,
        "formats.cuh",
        "scale(word >> (8 * half)),",
        "scale(word >> (8 - 8 * half)),",
    ),
    "a sign dropped": ("mxfp4", MMA, "formats.cuh", "top & 0x80008000u", "top & 0x80000000u"),
    "scales of one matrix for both": (
        "mxfp4",
        SWIGLU,
        "swiglu_fused.cu",
        "Format::scales(chunk.scale[m], half)",
        "Format::scales(chunk.scale[0], half)",
    ),
    "the step of another warp": ("int4", MMA, "mma_tile.cuh", "next += kWarps;", "next += 1;"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_of_a_format_is_found(bug: str) -> None:
    form, kernel, *patch = BUGS[bug]
    nm = 1 if kernel == MMA else 0
    made = [integer_codes(integer_problem(*shape, nm, False, seed=1), form) for shape in ((40, 700, 3), (17, 331, 2))]
    with pytest.raises(AssertionError) as caught:
        check(Library(kernel, 1, weights=form, patch=(patch[0], patch[1], patch[2]), optimize="-O1"), made)
    assert "g++ failed" not in str(caught.value)
    assert "holds" not in str(caught.value).split("\n")[0], "the text to change is gone"
