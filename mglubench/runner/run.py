"""Run a plan: measure the cases that a store does not have yet, and append each row as it comes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet, SetBench
from mglubench.executors.session import Session
from mglubench.executors.set_steps import Observer
from mglubench.hardware.devices import devices_in
from mglubench.measure.measurement import Measurement
from mglubench.results.header import Header
from mglubench.results.rows import Row, Status
from mglubench.results.store import RunStore, read_header, read_rows
from mglubench.runner.plan import Plan
from mglubench.variants.registry import get_variant

# Added to the number of a set whose rows were cut short, for what is measured of it later.
LEFTOVERS = 1 << 20
# A case's place in a run: number of its set as planned, and its key.
Stored = tuple[int, str]
# A set, and what is measured of it, which may be measured while it is read.
MeasuredSet = tuple[ComparisonSet, Iterable[Measurement]]
MeasureSets = Callable[[Iterable[ComparisonSet], MeasureSettings], Iterator[MeasuredSet]]


def run_plan(
    plan: Plan,
    store: RunStore,
    session: Session,
    *,
    observe: Observer = lambda phase, case: None,
    finished: Callable[[Measurement], None] = lambda measurement: None,
    over: Callable[[ComparisonSet], None] = lambda group: None,
    until: Callable[[Sequence[Case]], bool] = lambda group: False,
    done: Mapping[Stored, Status] | None = None,
) -> int:
    """Measure every case that the store does not have yet, in this session; see :func:`store_sets`."""
    measured = partial(in_turn, SetBench(session, fake=plan.machine.fake), observe)
    return store_sets(plan, store, measured, finished=finished, over=over, until=until, done=done)


def store_sets(
    plan: Plan,
    store: RunStore,
    measured: MeasureSets,
    *,
    finished: Callable[[Measurement], None] = lambda measurement: None,
    over: Callable[[ComparisonSet], None] = lambda group: None,
    until: Callable[[Sequence[Case]], bool] = lambda group: False,
    done: Mapping[Stored, Status] | None = None,
) -> int:
    """Store what is measured of every case that the store does not have yet; returns how many were measured.

    The rows of a set are written and synced when it ends, those of cases that fail as they fail; a set that was
    interrupted is measured again, together.

    Args:
        measured: measures sets, in whatever order.
        until: asked before each set of cases; once it says yes, this and all later sets are left for a resume.
        done: what the store has (see :func:`stored_in`), if it was read already.

    Raises:
        StoreError: a row could not be written; the rows before it are kept.
    """
    done = stored_in(store.folder) if done is None else done
    planned = {group.number: group for group in plan.sets}
    count = 0
    for group, found in measured(sets_left(plan, done, until), plan.spec.measure):
        with ExitStack() as rest:
            together = False
            for measurement in found:
                if measurement.status == Status.OK and not together:
                    # The set is over: from here on all come at once.
                    rest.enter_context(store.together())
                    together = True
                store.append(Row.of(measurement, get_variant(measurement.case.variant).layer))
                finished(measurement)
                count += 1
        over(planned[group.number % LEFTOVERS])
    return count


def in_turn(
    bench: SetBench, observe: Observer, groups: Iterable[ComparisonSet], settings: MeasureSettings
) -> Iterator[MeasuredSet]:
    """Sets measured here, one after the other, each while it is read."""
    for group in groups:
        yield group, bench.measure(group, settings, observe)


def sets_left(
    plan: Plan, done: Mapping[Stored, Status], until: Callable[[Sequence[Case]], bool]
) -> Iterator[ComparisonSet]:
    """What is left of each set, for as long as it is to go on."""
    for group in plan.sets:
        left = tuple(case for case in group.cases if (group.number, case.key) not in done)
        if not left:
            continue
        if until(left):
            return
        # Some of the set is stored: what is left has rounds of its own, which are not those of the others.
        parted = any(done.get((group.number, case.key)) == Status.OK for case in group.cases)
        yield dataclasses.replace(group, number=group.number + (LEFTOVERS if parted else 0), cases=left)


def stored_in(folder: Path) -> dict[Stored, Status]:
    """What became of the cases that a run has rows of."""
    return {(row.set % LEFTOVERS, row.key): row.status for row in read_rows(folder)}


def open_store(folder: Path, plan: Plan, *, resume: bool) -> RunStore:
    """Create the run folder, or reopen it for the same sweep.

    Raises:
        UsageError: the folder holds another sweep, or cannot be used.
    """
    if not resume:
        return RunStore.create(folder, plan.header())
    differing = differences(read_header(folder), plan.header())
    if differing:
        raise UsageError(f"{folder} holds another sweep; it differs in {differing}; choose another --out")
    return RunStore.resume(folder)


def differences(stored: Header, planned: Header) -> str:
    """In words, where two headers describe different sweeps or devices; empty if they agree."""
    found = []
    old, new = stored.get("sweep", {}), planned["sweep"]
    for key in sorted({*old, *new} - {"name"}):
        if old.get(key) != new.get(key):
            found.append(f"{key} ({_short(old.get(key))} there, {_short(new.get(key))} here)")
    if bool(stored.get("fake")) != planned["fake"]:
        found.append("executor")
    names = [
        {name: device.name for name, device in devices_in(header["environment"]).items()}
        for header in (stored, planned)
    ]
    if names[0] != names[1]:
        found.append(f"device ({_short(names[0])} there, {_short(names[1])} here)")
    return ", ".join(found)


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
