"""The driver over pretended workers: faults become second placements and then rows, strangers are refused."""

from __future__ import annotations

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.executors.introduction import package_digest
from mglubench.fleet.driver import Fleet
from mglubench.fleet.neighbours import measure_neighbours
from mglubench.fleet.roster import Roster
from mglubench.results.fleet_record import neighbours
from mglubench.status import Status
from tests.conftest import make_case
from tests.fleet.pretend import Pretended

QUICK = MeasureSettings(rounds=2, processes=1)


def sets(count):
    return [ComparisonSet(n, (make_case(h=24 + n), make_case(h=24 + n, variant="swiglu", nm=0))) for n in range(count)]


def fleet_of(transport, **more):
    told = []
    roster = more.pop("roster", None) or Roster()
    fleet = Fleet(
        transport,
        roster,
        tell=lambda what, known: told.append((what, known)),
        clock=transport.clock,
        alone_seconds=5.0,
        **more,
    )
    fleet.open()
    roster.settle()
    return fleet, told


def measured(fleet, count):
    found = list(fleet.measured(sets(count), QUICK))
    assert sorted(group.number for group, _ in found) == sorted({group.number for group, _ in found})
    return {group.number: rows for group, rows in found}


def test_sets_are_measured_by_the_local_code_and_say_who_did():
    fleet, _ = fleet_of(Pretended(["a", "b"]))
    found = measured(fleet, 5)
    assert sorted(found) == [0, 1, 2, 3, 4]
    for number, rows in found.items():
        assert {row.set for row in rows} == {number}
        assert [row.case for row in rows] == list(sets(5)[number].cases)
        assert all(row.status == Status.OK and row.worker["digest"] == package_digest() for row in rows)
        # Both arms of every ratio are of one device.
        assert len({row.worker["uuid"] for row in rows}) == 1
    assert {row.worker["uuid"] for rows in found.values() for row in rows} == {"a", "b"}


@pytest.mark.parametrize("fate", ["it died", "hang", "spoiled"])
def test_what_fails_once_is_placed_again_elsewhere_and_the_row_keeps_the_reason(fate):
    failed = []

    def once(device, order):
        if order.group.number == 1 and not failed:
            failed.append(device)
            return fate
        return None

    fleet, told = fleet_of(Pretended(["a", "b"], once), set_seconds=20.0)
    found = measured(fleet, 4)
    assert sorted(found) == [0, 1, 2, 3]
    assert all(row.status == Status.OK for rows in found.values() for row in rows)
    (row, _) = found[1]
    assert row.worker["uuid"] != failed[0]
    expected = {"hang": "no answer within 20 s; killed"}.get(fate, fate)
    assert row.worker["again"] == f"{failed[0]}: {expected}"
    assert [known["why"] for what, known in told if what == "failed"] == [expected]


def test_what_fails_twice_is_rows_with_both_reasons():
    fleet, _ = fleet_of(Pretended(["a", "b"], lambda device, order: "fell over" if order.group.number == 2 else None))
    found = measured(fleet, 4)
    assert sorted(found) == [0, 1, 2, 3]
    assert [row.status for row in found[2]] == [Status.CRASH] * 2
    assert "measured twice in vain: on " in found[2][0].reason
    assert found[2][0].reason.count("fell over") == 2
    assert [row.case for row in found[2]] == list(sets(4)[2].cases)


def test_a_hang_that_repeats_is_a_timeout():
    fleet, _ = fleet_of(Pretended(["a", "b"], lambda device, order: "hang"), set_seconds=7.0)
    assert [row.status for row in measured(fleet, 1)[0]] == [Status.TIMEOUT] * 2


def test_a_device_that_fails_twice_is_left_out_and_named():
    fleet, told = fleet_of(Pretended(["bad", "good"], lambda device, order: "broken" if device == "bad" else None))
    found = measured(fleet, 6)
    assert sorted(found) == list(range(6))
    assert {row.worker["uuid"] for rows in found.values() for row in rows} == {"good"}
    assert [known["uuid"] for what, known in told if what == "left out"] == ["bad"]


def test_when_nobody_is_left_the_rest_is_missing_and_said():
    fleet, told = fleet_of(Pretended(["only"], lambda device, order: "broken" if order.group.number < 2 else None))
    # Set 0 fails there twice, set 1 once: then the only device is left out.
    assert sorted(measured(fleet, 5)) == [0]
    assert told[-1] == ("unplaced", {"sets": 4})


def test_a_worker_of_another_version_is_refused_with_both_digests():
    fleet, told = fleet_of(Pretended(["a", "b"], digests={"b": "0123456789abcdef"}))
    assert {row.worker["uuid"] for rows in measured(fleet, 3).values() for row in rows} == {"a"}
    (why,) = [known["why"] for what, known in told if what == "refused"]
    assert "0123456789abcdef" in why
    assert package_digest() in why
    with pytest.raises(UsageError, match=f"0123456789abcdef, this one is {package_digest()}"):
        fleet_of(Pretended(["b"], digests={"b": "0123456789abcdef"}))


def test_neighbours_are_measured_alone_and_together_and_their_spread_is_told():
    fleet, _ = fleet_of(Pretended(["a", "b", "c"]))
    lines = list(measure_neighbours(fleet, make_case(), QUICK, "before"))
    assert [line["how"] for line in lines] == ["alone"] * 3 + ["busy"] * 3
    # Devices of one host have their turns, one after the other, and then all at once.
    assert [device for device, _ in fleet.transport.orders] == ["a", "b", "c", "a", "b", "c"]
    planted = [{**line, "what": "reference", "latency_us": 110.0 if line["uuid"] == "b" else 100.0} for line in lines]
    (told,) = neighbours(planted)
    assert (told.devices, round(told.alone, 6), round(told.busy, 6), told.slower) == (3, 0.1, 0.1, 0.0)
