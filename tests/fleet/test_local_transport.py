"""Workers as processes of this machine: cores that no two of them have, and what becomes of one too many."""

from __future__ import annotations

import time

import msgspec

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.fleet.local_transport import LocalTransport
from mglubench.fleet.messages import HowToWork, Order, SeatPlan
from mglubench.status import Status
from mglubench.system.limits import affinity
from tests.conftest import make_case


def heard(transport, count):
    events, until = [], time.monotonic() + 60
    while len(events) < count and time.monotonic() < until:
        events += transport.events(0.2)
    return events


def test_no_core_is_shared_and_a_worker_without_one_says_so(tmp_path):
    how = HowToWork("cpu", "fake", cores=1, variables={"XDG_CACHE_HOME": str(tmp_path)})
    transport = LocalTransport([SeatPlan(how)] * (affinity() + 1), tmp_path / "worker.log")
    try:
        for seat in range(transport.seats()):
            transport.start(seat)
        events = heard(transport, transport.seats())
        told = [event.told for event in events if event.told]
        assert len({one.uuid for one in told}) == len(told) == affinity()
        assert all(", cores " in one.uuid and "," not in one.uuid.partition("cores ")[2] for one in told)
        (late,) = [event.reason for event in events if not event.told]
        assert "0 of 1 wanted are free of core-" in late
        # A core is free again once its worker has died.
        first = next(event for event in events if event.told)
        transport.kill(first.worker)
        transport.start(0)
        (again,) = heard(transport, 1)
        assert again.told is not None
        assert again.told.uuid == first.told.uuid
        order = Order(ComparisonSet(3, (make_case(),)), MeasureSettings(rounds=2, processes=1))
        transport.send(again.worker, msgspec.convert(msgspec.to_builtins(order), Order))
        (answered,) = heard(transport, 1)
        assert [(one.status, one.set) for one in answered.answer.found] == [(Status.OK, 3)]
    finally:
        transport.close()
