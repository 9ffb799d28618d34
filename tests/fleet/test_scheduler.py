"""The scheduler alone: nothing is lost or doubled, whoever dies when, and failures are charged to whom they belong."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mglubench.fleet.scheduler import PLACEMENTS, Scheduler, Work

ACTS = st.lists(st.tuples(st.sampled_from(["finish", "fail", "die", "join", "late"]), st.integers(0, 7)), max_size=120)


def ready(*devices, works=4, limit=10.0):
    scheduler = Scheduler()
    scheduler.add([Work(number, limit=limit) for number in range(works)])
    for device in devices:
        scheduler.joined(f"on {device}", device)
    return scheduler


@settings(max_examples=300, deadline=None)
@given(acts=ACTS, works=st.integers(0, 12), wants=st.lists(st.sampled_from(["", "a", "b"]), min_size=12, max_size=12))
def test_no_set_is_lost_or_doubled_under_any_order_of_deaths(acts, works, wants):
    scheduler, ended, tries, count = Scheduler(), [], [], 0
    scheduler.add([Work(number, wants[number], 5.0) for number in range(works)])

    def join(number):
        nonlocal count
        count += 1
        scheduler.joined(f"w{count}", f"device {number % 3}", ("", "a") if number % 2 else ("", "b"))

    def everything():
        busy = [seat.work.number for seat in scheduler.seats.values() if seat.work]
        assert sorted([*ended, *busy, *(work.number for work in scheduler.unplaced())]) == list(range(works))

    join(0)
    join(1)
    for now, (act, number) in enumerate(acts):
        for worker, work in scheduler.placements(now):
            assert work.wants in scheduler.seats[worker].serves
            assert not scheduler.left_out(scheduler.seats[worker].device)
            tries.append((work.number, scheduler.seats[worker].device))
        everything()
        busy = sorted(name for name, seat in scheduler.seats.items() if seat.work)
        if act == "join":
            join(number)
        elif act == "late":
            assert scheduler.overdue(now) == [
                n for n in scheduler.seats if n in busy and now - scheduler.seats[n].since > 5
            ]
        elif act == "die" and scheduler.seats:
            name = sorted(scheduler.seats)[number % len(scheduler.seats)]
            given_up = scheduler.failed(name, "died", gone=True)
            ended += [given_up.number] if given_up else []
        elif busy:
            name = busy[number % len(busy)]
            given_up = scheduler.finished(name) if act == "finish" else scheduler.failed(name, "hung", gone=False)
            ended += [given_up.number] if given_up else []
        everything()
    assert max((sum(one == number for one, _ in tries) for number in range(works)), default=0) <= PLACEMENTS


def test_healthy_workers_do_all_in_order_and_each_once():
    scheduler, done = ready("a", "b", works=5), []
    while not scheduler.over:
        for worker, work in scheduler.placements(0.0):
            assert scheduler.finished(worker) is work
            done.append(work.number)
    assert done == [0, 1, 2, 3, 4]


def test_a_failed_set_goes_to_another_device_even_if_its_own_is_free_first():
    scheduler = ready("a", "b", works=2)
    first, second = scheduler.placements(0.0)
    assert scheduler.failed(first[0], "fell over", gone=False) is None
    assert scheduler.placements(1.0) == []
    scheduler.finished(second[0])
    (again,) = scheduler.placements(2.0)
    assert (again[0], again[1].number, again[1].tried, again[1].reasons) == ("on b", 0, ("a",), ("fell over",))


def test_where_there_is_no_other_device_it_goes_to_the_same_and_is_then_given_up():
    scheduler = ready("a", works=1)
    for worker, _ in scheduler.placements(0.0):
        assert scheduler.failed(worker, "once", gone=True) is None
    scheduler.joined("another on a", "a")
    ((worker, work),) = scheduler.placements(1.0)
    given_up = scheduler.failed(worker, "twice", gone=True)
    assert given_up is not None
    assert (given_up.number, given_up.reasons) == (work.number, ("once", "twice"))
    assert scheduler.over


def test_a_device_with_two_failures_of_its_own_is_left_out():
    scheduler = ready("bad", "good", works=6)
    for _ in range(2):
        for worker, _ in scheduler.placements(0.0):
            if worker == "on bad":
                scheduler.failed(worker, "broken", gone=False)
            else:
                scheduler.finished(worker)
    assert scheduler.left_out("bad")
    assert not scheduler.left_out("good")
    while not scheduler.over:
        for worker, _ in scheduler.placements(0.0):
            assert worker == "on good"
            assert scheduler.finished(worker)


def test_a_set_that_fails_everywhere_is_charged_to_no_device():
    scheduler = ready("a", "b", works=8)
    given_up = []
    while not scheduler.over:
        for worker, _ in scheduler.placements(0.0):
            given_up += [work] if (work := scheduler.failed(worker, "poisoned", gone=False)) else []
    assert len(given_up) == 8
    assert not scheduler.left_out("a")
    assert not scheduler.left_out("b")


def test_what_only_one_kind_serves_waits_for_it():
    scheduler = Scheduler()
    scheduler.add([Work(0, "H100"), Work(1, "A100")])
    scheduler.joined("w", "gpu", ("A100",))
    assert [work.number for _, work in scheduler.placements(0.0)] == [1]
    scheduler.finished("w")
    assert scheduler.placements(0.0) == []
    assert [work.number for work in scheduler.unplaced()] == [0]


def test_a_set_is_overdue_after_its_own_limit():
    scheduler = ready("a", limit=3.0)
    scheduler.placements(10.0)
    assert scheduler.overdue(12.9) == []
    assert scheduler.overdue(13.1) == ["on a"]
