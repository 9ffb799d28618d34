"""Counter names per chip, and how the kernels of a case add up."""

from __future__ import annotations

import pytest

from mglubench.hardware.counter_names import (
    COLUMNS,
    COUNTERS,
    DIALECTS,
    Kernel,
    by_key,
    combine,
    dialect_of,
    metric_names,
    ranges_in,
)
from tests.conftest import make_case

KEY = make_case(device="cuda:0").key
RULES = {counter.column: counter.rule for counter in COUNTERS}


def kernel(time=1.0, ranges=(KEY, "timed"), **values):
    named = {
        "read": "dram__bytes_read.sum",
        "op_read": "dram__bytes_op_read.sum",
        "hit": "lts__t_sector_hit_rate.pct",
        "l2_read": "lts__t_sectors_op_read.sum",
    }
    metrics = {named[name]: value for name, value in values.items()}
    return Kernel("k", frozenset(ranges), metrics | ({} if time is None else {"gpu__time_duration.sum": time}))


@pytest.mark.parametrize("capability", ["8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3"])
def test_chips_with_the_classic_names(capability):
    assert metric_names(capability)[:2] == ["dram__bytes_read.sum", "dram__bytes_write.sum"]


@pytest.mark.parametrize("capability", ["12.0", "12.1"])
def test_consumer_blackwell_has_other_dram_names(capability):
    names = metric_names(capability)
    assert names[:2] == ["dram__bytes_op_read.sum", "dram__bytes_op_write.sum"]
    assert not any(name.startswith("dram__bytes_read") for name in names)


def test_all_chips_share_the_other_names():
    assert len({tuple(metric_names(capability)[2:]) for capability in DIALECTS}) == 1
    assert len(metric_names("9.0")) == len(set(metric_names("9.0"))) == len(COLUMNS)


@pytest.mark.parametrize(
    ("capability", "dialect"), [(None, "classic"), ("7.5", "classic"), ("13.0", "op"), ("x", "classic")]
)
def test_an_unknown_chip_goes_by_its_major_version(capability, dialect):
    assert dialect_of(capability) == dialect


def test_what_ncu_lists_corrects_the_table():
    assert metric_names("9.0", ["dram__bytes_op_read"])[:2] == ["dram__bytes_op_read.sum", "dram__bytes_write.sum"]
    assert metric_names("12.0", ["dram__bytes_read", "dram__bytes_op_write"])[0] == "dram__bytes_read.sum"
    assert metric_names("9.0", ["something__else"]) == metric_names("9.0")


def test_one_kernel_is_the_case():
    figures = combine([kernel(2000, read=5e6, hit=12.5, l2_read=100)])
    assert figures["dram_bytes_read"] == 5e6
    assert figures["l2_hit_percent"] == 12.5
    assert figures["l2_bytes_read"] == 3200
    assert figures["ncu_duration_us"] == 2.0
    assert figures["dram_bytes_written"] is None


def test_several_kernels_add_bytes_and_time_and_weigh_percentages_by_time():
    figures = combine([kernel(1000, read=10, hit=10.0), kernel(3000, op_read=5, hit=90.0)])
    assert figures["dram_bytes_read"] == 15
    assert figures["ncu_duration_us"] == 4.0
    assert figures["l2_hit_percent"] == (10 * 1 + 90 * 3) / 4


def test_launches_divide_sums_and_leave_percentages():
    figures = combine([kernel(1000, read=10, hit=20.0)] * 4, launches=4)
    assert (figures["dram_bytes_read"], figures["ncu_duration_us"], figures["l2_hit_percent"]) == (10, 1.0, 20.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_half_a_sum_is_no_sum(value):
    lacking = kernel(1000, hit=1.0) if value is None else kernel(1000, read=value, hit=1.0)
    figures = combine([kernel(1000, read=10, hit=1.0), lacking])
    assert figures["dram_bytes_read"] is None
    assert figures["l2_hit_percent"] == 1.0


def test_percentages_without_times_cannot_be_weighed():
    assert combine([kernel(None, hit=1.0), kernel(1000, hit=3.0)])["l2_hit_percent"] is None
    assert combine([kernel(0, hit=1.0), kernel(0, hit=3.0)])["l2_hit_percent"] is None
    assert combine([kernel(None, hit=1.0)])["l2_hit_percent"] == 1.0


def test_rules_are_sums_for_bytes_and_times_only():
    assert {column for column, rule in RULES.items() if rule != "sum"} == {c for c in COLUMNS if c.endswith("_percent")}


def test_only_timed_kernels_count_where_there_is_a_timed_phase():
    warm_up, timed, plain = (
        kernel(ranges=(KEY, "warm-up")),
        kernel(ranges=(KEY, "timed")),
        kernel(ranges=("other/seed1",)),
    )
    stranger = kernel(ranges=())
    assert by_key([warm_up, timed, plain, stranger]) == {KEY: [timed], "other/seed1": [plain]}


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:12"])
@pytest.mark.parametrize("mask", ["ones", "bernoulli:0.25"])
def test_keys_with_slashes_and_colons_are_found_in_an_nvtx_cell(device, mask):
    key = make_case(device=device, mask=mask, seed=10).key
    cell = f'139  "mglubench:{key}:none:none:none:none:none:none"  "mglubench:timed:none:none:none:none:none:none" '
    assert ranges_in(cell) == {key, "timed"}
    assert ranges_in(f'1 "mglubench:{key}" "other:{key}x/seed3:none"') == {key}


def test_other_domains_are_not_ours():
    assert ranges_in(f'1  "<default domain>:{KEY}:none:none:none:none:none:none" ') == frozenset()
    assert ranges_in("") == frozenset()
