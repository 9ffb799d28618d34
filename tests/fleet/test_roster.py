"""Which devices take part, what they are called in a run, and what they have in common."""

from __future__ import annotations

import pytest

from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.fleet.roster import Roster
from tests.conftest import make_case
from tests.fleet.pretend import told_of

A100, H100 = "NVIDIA A100, 400 W", "NVIDIA H100, 700 W"


def roster(spread="shapes", *kinds):
    there = {"x": told_of("uuid-x", H100), "y": told_of("uuid-y", A100), "z": told_of("uuid-z", H100)}
    return Roster(spread, kinds, workers=there)


def test_devices_of_several_kinds_must_be_asked_for():
    with pytest.raises(UsageError, match=r"devices of 2 kinds: .*A100.*; .*H100.*; choose one with --kind"):
        roster().settle()
    with pytest.raises(UsageError, match=r"no device of kind B200; there are .*A100"):
        roster("shapes", "B200").settle()


def test_one_kind_takes_part_by_a_part_of_its_name_and_all_if_any_will_do():
    one = roster("shapes", "h100")
    one.settle()
    assert sorted(one.taking_part()) == ["x", "z"]
    assert [one.serves(told) for told in one.workers.values()] == [("",), (), ("",)]
    both = roster("shapes", "any")
    (device,) = both.settle().values()
    assert sorted(both.taking_part()) == ["x", "y", "z"]
    assert A100 in device.name
    assert H100 in device.name


def test_sets_of_a_kind_or_of_a_device_are_served_by_it_alone():
    kinds = roster("kinds")
    assert [device.name.partition(", ")[0] for device in kinds.settle().values()] == ["NVIDIA A100", "NVIDIA H100"]
    wanted = [kinds.wanted_by(ComparisonSet(0, (make_case(device=name),))) for name in ("cpu:0", "cpu:1")]
    assert [[name for name, told in kinds.workers.items() if want in kinds.serves(told)] for want in wanted] == [
        ["y"],
        ["x", "z"],
    ]
    devices = roster("devices")
    assert [device.uuid for device in devices.settle().values()] == ["uuid-y", "uuid-x", "uuid-z"]
    wanted = [devices.wanted_by(ComparisonSet(0, (make_case(device=f"cpu:{number}"),))) for number in range(3)]
    assert wanted == ["uuid-y", "uuid-x", "uuid-z"]


def test_a_run_that_goes_on_keeps_the_names_of_its_devices():
    first = roster("devices").settle()
    turned = dict(reversed(first.items()))
    again = roster("devices")
    assert again.settle(turned) == turned
    assert again.targets == {name: device.uuid for name, device in turned.items()}
