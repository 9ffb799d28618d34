"""A comparison set, and how it is measured beside a device: the unit that a sweep measures, here or in a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.cases.vocabulary import CEILINGS
from mglubench.comparison import Role, role_of
from mglubench.executors.core_watch import CoreWatch
from mglubench.executors.rounds import measure_set
from mglubench.executors.session import Session
from mglubench.executors.set_steps import Observer
from mglubench.hardware.core_distance import core_distance
from mglubench.measure.measurement import Measurement
from mglubench.variants.registry import get_variant

# Seconds that are waited at most for cores that a hypervisor has moved apart: they come back within some ten seconds or
# not at all. Once in a run so many, and in each set a share of the time that it may be sampled, where that is more.
LEAST_PATIENCE, PATIENCE_SHARE = 10.0, 0.5


@dataclass(frozen=True, slots=True)
class ComparisonSet:
    """Cases that are measured in the same rounds.

    Attributes:
        number: in its run, from 0. side_by_side: how many processes may hold the set at the same time.
    """

    number: int
    cases: tuple[Case, ...]
    side_by_side: int = 1

    def roles(self) -> dict[Case, Role]:
        """What the cases are when they are compared; ceilings take no part."""
        return {
            c: role_of(c.variant, layer) for c in self.cases if (layer := get_variant(c.variant).layer) not in CEILINGS
        }


class SetBench:
    """Measures sets in one session, one after the other.

    Args:
        fake: whether nothing is measured, so that nobody need look at where the cores are.
    """

    def __init__(self, session: Session, *, fake: bool) -> None:
        self._session = session
        self._watch = (CoreWatch() if fake else CoreWatch(core_distance)).patient(LEAST_PATIENCE)

    def measure(
        self, group: ComparisonSet, settings: MeasureSettings, observe: Observer = lambda phase, case: None
    ) -> Iterator[Measurement]:
        """One measurement per case, of this set: failures as they happen, the others when the set is over."""
        watch = self._watched(group, settings)
        for found in measure_set(
            self._session, group.cases, settings, observe, group.roles(), group.side_by_side, watch
        ):
            yield replace(found, set=group.number)

    def _watched(self, group: ComparisonSet, settings: MeasureSettings) -> CoreWatch | None:
        """The watch over the cores for a set that runs on them, with the time that may be waited."""
        if any(case.device_kind != "cpu" for case in group.cases):
            return None
        patience = PATIENCE_SHARE * settings.max_seconds * len(group.cases)
        return self._watch.patient(max(self._watch.patience, patience))
