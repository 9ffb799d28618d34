"""How far apart the cores of this process are: the time that a cache line takes from one to another and back.

A hypervisor moves the cores of a guest over those of the machine, and tells nobody. Two of them that share a cache
answer each other in some 50 ns, and share its link to memory as well; on different chips it takes 300 ns, and each has
a link of its own. What is bound by memory then runs half as fast again, what is bound by arithmetic does not, and so
the ratio of the two changes from one ten seconds to the next while every clock and counter of the guest stays put.

Where nothing moves, the distance is a constant of the machine.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache

# Of pairs with the first core. A guest with more cores than that is rarely moved about.
MOST_CORES = 8
CHUNKS, TRIPS = 8, 200
# Spins of one wait, longer than a core is usually lost for; a partner that is gone costs the reading, not the process.
PATIENCE = 1 << 23
JOIN_SECONDS = 5.0

# One side of the trips: it says its word of a trip before (ping) or after (pong) it has heard the other's.
_SIDE = """
define i64 @{name}(i64* %flag, i64 %start, i64 %trips, i64 %most) {{
entry:
  br label %trip
trip:
  %i = phi i64 [0, %entry], [%next, %heard]
  %k = add i64 %start, %i
  %twice = shl i64 %k, 1
  %asked = add i64 %twice, 1
  %answered = add i64 %twice, 2
  {before}
  br label %spin
spin:
  %n = phi i64 [0, %trip], [%m, %again]
  %seen = load atomic i64, i64* %flag acquire, align 8
  %there = icmp eq i64 %seen, {wanted}
  br i1 %there, label %heard, label %again
again:
  %m = add i64 %n, 1
  %over = icmp ugt i64 %m, %most
  br i1 %over, label %lost, label %spin
heard:
  {after}
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %trips
  br i1 %done, label %end, label %trip
end:
  ret i64 0
lost:
  ret i64 1
}}
"""
_SAY = "store atomic i64 {word}, i64* %flag release, align 8"
_CODE = _SIDE.format(name="ping", before=_SAY.format(word="%asked"), wanted="%answered", after="") + _SIDE.format(
    name="pong", before="", wanted="%asked", after=_SAY.format(word="%answered")
)

Native = Callable[..., int]


def core_distance() -> float | None:
    """Nanoseconds there and back between the first core of this process and the one farthest from it.

    Costs about a millisecond per core. ``None`` where there is one core, more than :data:`MOST_CORES`, no compiler for
    it, or no answer because others have the cores.
    """
    try:
        cores = sorted(os.sched_getaffinity(0))
        if not 2 <= len(cores) <= MOST_CORES:
            return None
        ping, pong = _compiled()
    except (AttributeError, OSError, ImportError, RuntimeError):
        return None
    found = [_between(cores[0], other, ping, pong) for other in cores[1:]]
    known = [ns for ns in found if ns is not None]
    return max(known) if len(known) == len(found) else None


@lru_cache(maxsize=1)
def _compiled() -> tuple[Native, Native]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(_CODE)
    target = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    long, pointer = ctypes.c_int64, ctypes.c_void_p
    side = ctypes.CFUNCTYPE(long, pointer, long, long, long)
    _KEPT.append(engine)
    return side(engine.get_function_address("ping")), side(engine.get_function_address("pong"))


# The code lives as long as its engine.
_KEPT: list[object] = []


def _between(one: int, other: int, ping: Native, pong: Native) -> float | None:
    """The quickest of several chunks of trips, in nanoseconds per trip; ``None`` if every chunk was lost."""
    line = ctypes.create_string_buffer(256)
    flag = (ctypes.addressof(line) + 127) & ~127
    found: list[float] = []

    def answer() -> None:
        if _on(other):
            pong(flag, 0, CHUNKS * TRIPS, PATIENCE)

    def ask() -> None:
        if not _on(one):
            return
        for chunk in range(CHUNKS):
            start = time.perf_counter_ns()
            if ping(flag, chunk * TRIPS, TRIPS, PATIENCE):
                return
            found.append((time.perf_counter_ns() - start) / TRIPS)

    # Threads of their own: this one keeps the cores that it may use.
    threads = [threading.Thread(target=side, daemon=True) for side in (answer, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS)
    # The first chunk waits for the other thread to start.
    return min(found[1:], default=None)


def _on(core: int) -> bool:
    try:
        os.sched_setaffinity(0, {core})
    except OSError:
        return False
    return True
