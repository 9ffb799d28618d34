"""Run a plan: measure the cases that a store does not have yet, and append each row as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from mglubench.cases.case import Case
from mglubench.errors import UsageError
from mglubench.executors.core_watch import CoreWatch
from mglubench.executors.rounds import measure_set
from mglubench.executors.session import Session
from mglubench.executors.set_steps import Observer
from mglubench.hardware.core_distance import core_distance
from mglubench.hardware.devices import devices_in
from mglubench.measure.measurement import Measurement
from mglubench.results.header import Header
from mglubench.results.rows import Row, Status
from mglubench.results.store import RunStore, read_header, read_rows
from mglubench.runner.plan import Plan
from mglubench.runner.sets import ComparisonSet
from mglubench.variants.registry import get_variant

# Added to the number of a set whose rows were cut short, for what is measured of it later.
LEFTOVERS = 1 << 20
# Seconds that are waited at most for cores that a hypervisor has moved apart: they come back within some ten seconds or
# not at all. Once in a run so many, and in each set a share of the time that it may be sampled, where that is more.
LEAST_PATIENCE, PATIENCE_SHARE = 10.0, 0.5
# A case's place in a run: number of its set as planned, and its key.
Stored = tuple[int, str]


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
    """Measure every case that the store does not have yet; returns how many were measured.

    The rows of a set are written and synced when it ends, those of cases that fail as they fail; a set that was
    interrupted is measured again, together.

    Args:
        done: what the store has (see :func:`stored_in`), if it was read already.
        until: asked before each set of cases; once it says yes, this and all later sets are left for a resume.

    Raises:
        StoreError: a row could not be written; the rows before it are kept.
    """
    done = stored_in(store.folder) if done is None else done
    count, watch = 0, (CoreWatch() if plan.machine.fake else CoreWatch(core_distance)).patient(LEAST_PATIENCE)
    for group in plan.sets:
        left = [case for case in group.cases if (group.number, case.key) not in done]
        if not left:
            continue
        if until(left):
            break
        # Some of the set is stored: what is left has rounds of its own, which are not those of the others.
        parted = any(done.get((group.number, case.key)) == Status.OK for case in group.cases)
        number = group.number + (LEFTOVERS if parted else 0)
        rounds = measure_set(
            session, left, plan.spec.measure, observe, group.roles(), group.side_by_side, _watched(watch, left, plan)
        )
        with ExitStack() as rest:
            together = False
            for measurement in rounds:
                if measurement.status == Status.OK and not together:
                    # The set is over: from here on all come at once.
                    rest.enter_context(store.together())
                    together = True
                store.append(Row.of(replace(measurement, set=number), get_variant(measurement.case.variant).layer))
                finished(measurement)
                count += 1
        over(group)
    return count


def _watched(watch: CoreWatch, cases: Sequence[Case], plan: Plan) -> CoreWatch | None:
    """The watch over the cores for a set that runs on them, with the time that may be waited."""
    if any(case.device_kind != "cpu" for case in cases):
        return None
    return watch.patient(max(watch.patience, PATIENCE_SHARE * plan.spec.measure.max_seconds * len(cases)))


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
