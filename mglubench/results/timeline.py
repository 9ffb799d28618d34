"""Which kernels of a timeline belong to which case, and what their times are worth.

A launch belongs to the push/pop range of its own thread that encloses the call, else to the start/end range of its
process that does: such a range may begin, launch and end on different threads. Where a case has timed ranges, only what
was launched in them counts. A time that a report lacks or gives backwards is no time, and a sum without it is no sum:
such a case keeps its counts, gets no total, and says why.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from mglubench.hardware.counter_names import TIMED, is_key

# Ids of processes occupy the upper bits of globalTid and globalPid; the low 24 are the thread.
THREAD_BITS = 24
NODES = "take it with --cuda-graph-trace=node"


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a timeline says of one case.

    Attributes:
        kernel_us: device time of all its kernels together, microseconds; ``None`` where the report does not hold all of
            it. kernels: how many ran; ``None`` where graphs hide them. gap_us: median time between the end of a kernel
            and the start of the next in the same range; ``None`` if every range held one kernel. graphs: how many CUDA
            graphs were recorded as one piece. graph_us: their device time, gaps between their kernels included.
        reason: why something is missing; empty if nothing is.
    """

    kernel_us: float | None
    kernels: int | None
    gap_us: float | None
    graphs: int | None = None
    graph_us: float | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, int | float | None]:
        """Stored figures, by frame column."""
        return {
            "nsys_kernel_us": self.kernel_us,
            "nsys_kernels": self.kernels,
            "nsys_gap_us": self.gap_us,
            "nsys_graphs": self.graphs,
            "nsys_graph_us": self.graph_us,
        }


@dataclass(frozen=True, slots=True)
class NvtxRange:
    """A closed interval, nanoseconds, of one thread, or of its whole process if it is a start/end range."""

    start: int
    end: int
    thread: int
    name: str
    everywhere: bool = False

    @property
    def process(self) -> int:
        """Upper bits of the thread's id."""
        return self.thread >> THREAD_BITS

    def encloses(self, other: NvtxRange) -> bool:
        """Whether the other range lies in this one."""
        near = self.process == other.process if self.everywhere or other.everywhere else self.thread == other.thread
        return near and self.start <= other.start and other.end <= self.end


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel, or a graph recorded as one piece.

    Attributes:
        called: when, nanoseconds. thread: where. span: device start and end; ``None`` if the report has no usable ones.
        graph: whether it is a graph.
    """

    called: int
    thread: int
    span: Span | None
    graph: bool = False


@dataclass(frozen=True, slots=True)
class Orphan:
    """A kernel whose call the report lacks, or a phase whose end it lacks: start and process, where they are known."""

    start: int | None
    process: int | None

    def may_be_of(self, found: NvtxRange) -> bool:
        """Whether it may belong into a range: it began then, as far as one can tell."""
        near = self.process is None or self.process == found.process
        return near and (self.start is None or found.start <= self.start <= found.end)


@dataclass(frozen=True, slots=True)
class Events:
    """What a report holds.

    Attributes:
        ranges: usable ranges whose names are case keys or the timed phase. broken: why a key's range is not usable, by
            key. launches: kernels and graphs whose call is known. orphans: those whose call is not. torn: timed phases
            without a usable time. lost: call time and thread of launch calls that no kernel was recorded for. note:
            what holds for every case.
    """

    ranges: Sequence[NvtxRange]
    launches: Sequence[Launch]
    broken: Mapping[str, str]
    orphans: Sequence[Orphan] = ()
    torn: Sequence[Orphan] = ()
    lost: Sequence[tuple[int, int]] = ()
    note: str = ""


def timelines(events: Events) -> dict[str, Timeline]:
    """The timelines of the cases that have a range, usable or not, by key."""
    cases: dict[str, list[NvtxRange]] = defaultdict(list)
    for found in sorted(events.ranges, key=lambda found: found.start):
        if is_key(found.name):
            cases[found.name].append(found)
    phases = {key: _phases(ranges, events.ranges) for key, ranges in cases.items()}
    owners, shared = _owners([found for ranges in cases.values() for found in ranges], events.launches)
    kept: dict[str, Timeline] = {}
    for key, ranges in cases.items():
        own = [launch for launch, owner in zip(events.launches, owners, strict=True) if owner == key]
        parts = _parts(phases[key] or ranges, own)
        untimed = "kernels ran in its range, but none in its timed phase" if own and not any(parts) else ""
        reasons = (
            untimed,
            _why_untimed([launch for part in parts for launch in part]),
            _why_unsure(phases[key] or ranges, shared[key], events),
            "a timed phase of it has no usable time" if any(_touch(torn, ranges) for torn in events.torn) else "",
            events.broken.get(key, ""),
            events.note,
        )
        kept[key] = _timeline(parts, "; ".join(reason for reason in reasons if reason))
    return {**{key: _nothing(reason) for key, reason in events.broken.items() if key not in kept}, **kept}


def _phases(cases: Sequence[NvtxRange], ranges: Iterable[NvtxRange]) -> list[NvtxRange]:
    timed = sorted((found for found in ranges if found.name == TIMED), key=lambda found: found.start)
    starts = [found.start for found in timed]
    inside: list[NvtxRange] = []
    for case in cases:
        near = timed[bisect_right(starts, case.start - 1) : bisect_right(starts, case.end)]
        inside += [found for found in near if case.encloses(found)]
    return inside


class _Calls:
    """Launches by thread and by process, in order of their calls."""

    def __init__(self, launches: Sequence[Launch]) -> None:
        self._threads: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._processes: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place, launch in sorted(enumerate(launches), key=lambda found: found[1].called):
            self._threads[launch.thread].append((launch.called, place))
            self._processes[launch.thread >> THREAD_BITS].append((launch.called, place))

    def inside(self, found: NvtxRange) -> list[int]:
        """Places of the launches that a range encloses."""
        calls = self._processes.get(found.process, []) if found.everywhere else self._threads.get(found.thread, [])
        first = bisect_right(calls, found.start - 1, key=lambda call: call[0])
        last = bisect_right(calls, found.end, key=lambda call: call[0])
        return [place for _, place in calls[first:last]]


def _owners(cases: Sequence[NvtxRange], launches: Sequence[Launch]) -> tuple[list[str | None], Counter[str]]:
    """The key that each launch belongs to, and how many launches each key would have to share with another."""
    calls = _Calls(launches)
    claims: dict[int, list[NvtxRange]] = defaultdict(list)
    for case in cases:
        for place in calls.inside(case):
            claims[place].append(case)
    owners: list[str | None] = [None] * len(launches)
    shared: Counter[str] = Counter()
    for place, found in claims.items():
        own = [case for case in found if not case.everywhere]
        near = [case for case in found if case.thread == launches[place].thread]
        # The innermost range of the launching thread; else ranges begun on it; else any of its process.
        best = [max(own, key=lambda case: case.start)] if own else near or found
        keys = {case.name for case in best}
        if len(keys) == 1:
            owners[place] = keys.pop()
        else:
            shared.update(keys)
    return owners, shared


def _parts(ranges: Sequence[NvtxRange], own: Sequence[Launch]) -> list[list[Launch]]:
    """A case's launches by the range that they were called in; each once."""
    calls, taken = _Calls(own), set[int]()
    parts = []
    for found in ranges:
        places = [place for place in calls.inside(found) if place not in taken]
        taken.update(places)
        parts.append([own[place] for place in places])
    return parts


def _why_untimed(launches: Sequence[Launch]) -> str:
    untimed = sum(launch.span is None for launch in launches)
    graphs = sum(launch.graph for launch in launches)
    reasons = []
    if untimed:
        reasons.append(f"{untimed} of {len(launches)} launches have no usable time (zero or backward in the report)")
    if graphs:
        plural = (
            "CUDA graph was recorded as one piece" if graphs == 1 else "CUDA graphs were recorded as one piece each"
        )
        reasons.append(f"{graphs} {plural}, which hides kernels: {NODES}")
    return "; ".join(reasons)


def _why_unsure(ranges: Sequence[NvtxRange], shared: int, events: Events) -> str:
    """Why kernels may be missing from a case, or be another's."""
    reasons = []
    if shared:
        reasons.append(f"{shared} kernels were launched while start/end ranges of several cases were open")
    stray = sum(_touch(orphan, ranges) for orphan in events.orphans)
    if stray:
        reasons.append(f"{stray} kernels have no launch call in the report, so whose they are is not known")
    lost = sum(
        any(
            found.start <= called <= found.end
            and (found.process == thread >> THREAD_BITS if found.everywhere else found.thread == thread)
            for found in ranges
        )
        for called, thread in events.lost
    )
    if lost:
        reasons.append(f"{lost} launch calls have no kernel in the report: records were lost")
    return "; ".join(reasons)


def _touch(orphan: Orphan, ranges: Iterable[NvtxRange]) -> bool:
    return any(orphan.may_be_of(found) for found in ranges)


def _nothing(reason: str) -> Timeline:
    return Timeline(kernel_us=None, kernels=0, gap_us=None, reason=reason)


def _timeline(parts: Sequence[Sequence[Launch]], reason: str) -> Timeline:
    launches = [launch for part in parts for launch in part]
    graphs = [launch for launch in launches if launch.graph]
    spans = [sorted(launch.span for launch in part if launch.span is not None) for part in parts]
    gaps = [max(0, after[0] - before[1]) for part in spans for before, after in pairwise(part)]
    whole = all(launch.span is not None for launch in graphs)
    return Timeline(
        kernel_us=None if reason else sum(end - start for part in spans for start, end in part) / 1e3,
        kernels=None if graphs else len(launches),
        gap_us=median(gaps) / 1e3 if gaps and not reason else None,
        graphs=len(graphs) or None,
        graph_us=sum(g.span[1] - g.span[0] for g in graphs if g.span) / 1e3 if graphs and whole else None,
        reason=reason,
    )
