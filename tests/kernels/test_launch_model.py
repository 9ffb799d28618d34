"""The launch model by hand; what it says of the kernels whose weak spots are known, and of the paper's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mglubench.hardware.gpus import gpu_named
from mglubench.kernels.cuda_catalogue import BULK, MMA, PAPER, SWIGLU, shared_tiles
from mglubench.kernels.launch_model import (
    BLOCK_US,
    COPY_US,
    LATENCY_US,
    LAUNCH_US,
    NEXT_US,
    READ_SHARE,
    Card,
    Code,
    Flight,
    estimate,
)
from mglubench.kernels.modelled import card_of, code_of, modelled, shipped_pins
from mglubench.kernels.tuning import Choice, Gpu

CARD = Card("sm_90a", sms=100, ceiling=1e12, clock=1e9)
# One wave of 400 blocks of 4 warps with 128 registers: 16 warps a multiprocessor, 2 KB outstanding each.
FLIGHT = Flight(blocks=400, warps=4, block_bytes=81920.0, warp_bytes=2048.0, overlapped=True, shared_bytes=0)
CODE = Code(registers=128, instructions=0.1)
ELEMENTS = 400 * 81920 / 2


def test_bytes_in_flight_by_hand():
    found = estimate(FLIGHT, CODE, CARD, ELEMENTS)
    waiting = 10 * LATENCY_US
    assert found.in_flight == pytest.approx(16 * 2048 * waiting / (waiting + BLOCK_US))
    assert found.needed == pytest.approx(1e12 * LATENCY_US * 1e-6 / 100)
    assert found.waves == 1.0
    assert found.us == pytest.approx(400 * 81920 / 1e12 * 1e6 + LAUNCH_US + LATENCY_US)
    assert found.binds == "launch"


def test_what_binds_is_what_costs_most():
    few = estimate(replace(FLIGHT, warp_bytes=128.0), CODE, CARD, ELEMENTS)
    assert few.binds == "bytes in flight"
    assert few.share < 0.5
    slow = estimate(FLIGHT, replace(CODE, instructions=2.0), CARD, ELEMENTS)
    # 2 B per element: 100 x 4 x 1e9 / 2 elements/s is 0.4 TB/s.
    assert slow.issue == pytest.approx(2.5)
    assert slow.binds == "issue slots"
    long = replace(FLIGHT, block_bytes=10 * FLIGHT.block_bytes)
    uneven = estimate(replace(long, blocks=440), CODE, CARD, ELEMENTS * 11)
    assert uneven.binds == "waves"
    assert uneven.us > 1.1 * estimate(long, CODE, CARD, ELEMENTS * 10).us


def test_a_multiprocessor_starts_one_bulk_copy_at_a_time():
    many = estimate(replace(FLIGHT, copies=1000.0), CODE, CARD, ELEMENTS)
    assert many.binds == "bulk copies"
    assert many.us == pytest.approx(4 * 1000 * COPY_US + LAUNCH_US + LATENCY_US)
    h100 = card_of(gpu_named("H100"))
    assert h100 is not None
    for nm in (1, 8):
        job, code = BULK.job(4096, 14336, nm, 1, "float16"), pinned("flash-mglu-bulk", BULK.entry, nm)
        assert modelled(BULK, code, job, h100, Choice.of(SEGMENT=128, WARPS=2)).binds == "bulk copies"
        assert modelled(BULK, code, job, h100, Choice()).binds not in ("bulk copies", "waves")
    assert estimate(replace(FLIGHT, launches=3), CODE, CARD, ELEMENTS).us == pytest.approx(
        estimate(FLIGHT, CODE, CARD, ELEMENTS).us + 2 * NEXT_US
    )


def pinned(name, title, nm):
    pins = shipped_pins()
    assert pins is not None
    code = code_of(pins, name, title, nm)
    assert code is not None
    return code


def test_code_lies_on_a_line_between_the_pins():
    low, mid, high = (pinned("flash-mglu-mma", MMA.entry, nm).instructions for nm in (1, 4, 8))
    assert mid == pytest.approx(low + 3 / 7 * (high - low))
    wide = pinned("flash-mglu-mma", MMA.wide, 8)
    assert high < wide.instructions < 2 * high


def test_tails_of_many_tokens_are_condemned_and_mended():
    h100 = card_of(gpu_named("H100"))
    assert h100 is not None
    for nm in (3, 4):
        job = MMA.job(2048, 8192, nm, 16, "float16")
        code = pinned("flash-mglu-mma", MMA.wide, nm)
        plain = modelled(MMA, code, job, h100, Choice.of(1))
        chosen = MMA.rule(job, Gpu("", h100.arch, h100.sms))
        mended = modelled(MMA, code, job, h100, chosen)
        assert plain.waves == pytest.approx(1.29, abs=0.01)
        assert chosen == Choice()
        assert mended.us < 0.87 * plain.us
        larger = MMA.job(4096, 14336, nm, 16, "float16")
        binds = [modelled(MMA, code, larger, h100, choice).binds for choice in (Choice.of(1), chosen)]
        assert binds[0] == "waves" != binds[1]


def test_a_last_wave_in_parts_by_hand():
    # 896 tiles of 64 steps on 528 slots: 368 in quarters take 3 waves of 16 + 4 steps, whole ones a wave of 64 + 4.
    assert shared_tiles(896, 64, 8, 528, 0) == (368, 4)
    assert shared_tiles(512, 32, 8, 396, 0) == (116, 3)
    assert shared_tiles(512, 32, 8, 528, 0) == (512, 1)
    assert shared_tiles(528, 32, 8, 528, 0) == (0, 1)
    assert shared_tiles(320, 64, 8, 528, 0) == (320, 3)
    assert shared_tiles(1, 64, 8, 528, 0) == (1, 8)
    assert shared_tiles(1, 4, 8, 528, 0) == (1, 1)
    assert [shared_tiles(896, 64, 8, 528, k) for k in (1, 2, 99)] == [(896, 1), (896, 2), (896, 64)]
    assert shared_tiles(896, 64, 8, 0, 0) == (896, 1)
    uneven = replace(FLIGHT, blocks=440)
    rest = estimate(uneven, CODE, CARD, ELEMENTS * 1.1)
    parts = estimate(replace(uneven, tail_parts=4), CODE, CARD, ELEMENTS * 1.1)
    assert parts.us < rest.us
    assert parts.us == pytest.approx(440 * 81920 / 1e12 * 1e6 + LAUNCH_US + LATENCY_US)


def test_the_baseline_is_searched_as_widely_as_the_kernel():
    job, gpu = MMA.job(4096, 14336, 1, 1, "float16"), Gpu("a card that nobody tuned", "sm_90a", 132)
    mine = set(MMA.candidates(job, gpu))
    assert mine == set(SWIGLU.candidates(SWIGLU.job(4096, 14336, 0, 1, "float16"), gpu))
    assert {choice.split_k for choice in mine} == {0, 1, 2, 4}
    # A search that is cut short has tried the last wave in parts and in whole tiles, which no card has timed yet.
    assert MMA.candidates(job, gpu)[:3] == [Choice(), Choice.of(1), Choice.of(2)]
    for name, values in {"WARPS": {1, 2, 4, 8}, "STAGES": {1, 2}, "L2_PREFETCH": {128, 256}}.items():
        assert values <= {choice.get(name, 0) for choice in mine}


def test_what_does_not_fit_a_card_has_no_estimate():
    rtx = card_of(gpu_named("RTX 5090"))
    job = BULK.job(4096, 14336, 16, 1, "float16")
    code = pinned("flash-mglu-bulk", BULK.entry, 8)
    assert modelled(BULK, code, job, rtx, Choice()) is None
    assert modelled(BULK, code, job, rtx, BULK.rule(job, Gpu("", rtx.arch, rtx.sms))) is not None
    assert card_of(gpu_named("B300")) is None
    assert rtx.ceiling == pytest.approx(READ_SHARE * 1.792e12)


@pytest.mark.parametrize("nm", [1, 8])
def test_the_pairs_in_flight_of_the_papers_kernel_are_those_of_its_machine_code(nm):
    (rows,) = [found for key, found in shipped_pins().rows.items() if (key.kernel, key.nm) == (PAPER.entry, nm)]
    row = next(iter(rows.values()))
    flight = PAPER.flight(PAPER.job(4096, 14336, nm, 1, "float16"), Choice(), Gpu("", "sm_90a", 132), 16)
    assert flight.warp_bytes == 32 * (4 * row["loads_4"] / 2 + row["loads_less"])
