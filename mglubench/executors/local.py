"""A session in this process: the one place where variants are prepared, timed and checked."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors.guard import GuardedDense, GuardedInputs
from mglubench.executors.live import Buffers, LiveCase
from mglubench.executors.machine import Machine, Memory
from mglubench.executors.process_state import Guests, come, company, restore, take
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.hardware.affinity import pins
from mglubench.hardware.cpu import last_level_cache
from mglubench.hardware.cpu_readings import expected_cores, keeps_starved, why_starved
from mglubench.hardware.devices import Reading
from mglubench.hardware.environment import available_memory, device_here, total_memory
from mglubench.hardware.pools import pool_of
from mglubench.hardware.telemetry import GpuTelemetry, too_slow
from mglubench.layer.drawing import dense_key
from mglubench.layer.input_set import input_key
from mglubench.layer.problem import Problem, host_bytes
from mglubench.layer.quantisation import quantisation_error
from mglubench.measure.annotate import case_range, phase_range
from mglubench.measure.check import Check
from mglubench.measure.cpu_timer import CPU_MODES, CpuTimer
from mglubench.measure.eviction import CpuEvictor
from mglubench.measure.rotation import cold_on_cpu, describe
from mglubench.measure.timers import CUDA_MODES, CudaTimer, Taken, Timer, replicas_needed
from mglubench.status import Status
from mglubench.system.plain_text import first_line, text_of
from mglubench.system.shelf import Shelf
from mglubench.variants.base import Variant
from mglubench.variants.mlp_block import in_block
from mglubench.variants.registry import get_variant, variants, why_not_here

if TYPE_CHECKING:
    from mglubench.executors.live import Output

# Input sets that stay in memory; a group's cases share one or two.
INPUT_SETS = 2
WARM_AFTER_SECONDS = 0.3
# Of the memory, what copies that launches take turns over leave free.
LEFT_FREE = 1 / 8
# How long an idle GPU is kept busy between two looks at its clock, and how often.
WAKE_SECONDS, WAKE_TRIES = 0.02, 5


class LocalSession:
    """Runs cases in this process; an exception becomes a :class:`CaseError`, a crash takes the process down.

    Args:
        shelf: what processes of the run make once.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._inputs: dict[tuple[Any, ...], GuardedInputs] = {}
        self._dense: GuardedDense | None = None
        self._dense_of: tuple[Any, ...] = ()
        self._live: dict[Case, LiveCase] = {}
        # Who ran since the inputs were last found as they were made, and who was caught since.
        self._ran: list[Case] = []
        self._caught: dict[Case, str] = {}
        # What was said of a case beside its outcome, and which threads and children came with it.
        self._notes: dict[Case, list[str]] = {}
        self._guests = Guests()
        self._telemetry: dict[str, GpuTelemetry] = {}

    def describe(self, devices: tuple[str, ...]) -> Machine:
        """Devices, memory, and why which variant is unavailable; ``auto`` becomes the best device here."""
        import torch

        best = "cuda" if torch.cuda.is_available() else "cpu"
        resolved = tuple(best if device == "auto" else device for device in devices)
        for device in resolved:
            require_device(device)
        kinds = sorted({device.partition(":")[0] for device in resolved})
        return Machine(
            devices={device: device_here(device) for device in resolved},
            memory={device: memory_of(device) for device in resolved},
            unavailable={
                kind: {name: why for name, variant in variants().items() if (why := why_not_here(variant, kind))}
                for kind in kinds
            },
        )

    def prepare(self, case: Case, offset: int = 0, *, non_finite: bool = False) -> Prepared:
        """Allocate, compile, check once, warm up."""
        try:
            with self._step(case):
                return self._prepare(case, offset, non_finite)
        except CaseError as error:
            self._catch_spoiler()
            done = self._caught.pop(case, "")
            self.abandon(case)
            if done:
                raise CaseError(error.status, f"{error}; it also {done}") from error
            raise

    def _prepare(self, case: Case, offset: int, non_finite: bool) -> Prepared:
        variant = in_block(get_variant(case.variant), case)
        self._refuse(variant, case)
        start = time.perf_counter()
        with phase_range("prepare"):
            inputs = self._input_set(case, non_finite)
            made = time.perf_counter()
            live, built, outputs = self._first_run(variant, case, inputs, offset)
            if self._catch_spoiler():
                self._refuse_caught(case)
                # Whoever ran before did it: this case was made of spoiled inputs, and is made again.
                live, built, outputs = self._first_run(variant, case, inputs, offset)
            check = live.judged(outputs, fresh=0)
            checked = time.perf_counter()
            # Warm-up runs launches too, replicas are prepared.
            self._ran.append(case)
            live.timer = self._timer_over_copies(live)
        # The check has run the launch once; one that takes seconds is as warm as it gets.
        if checked - built < WARM_AFTER_SECONDS or case.device_kind == "cuda":
            with phase_range("warm-up"):
                live.timer.warm_up()
        seconds = {
            "inputs": made - start,
            "build": built - made,
            "check": checked - built,
            "warm_up": time.perf_counter() - checked,
        }
        errors = check.to_dict()
        if (lost := quantisation_error(live.judge, variant.layer, case.nm)) is not None:
            errors["quantisation"] = lost
        return Prepared(errors, variant.declare(case).to_dict(), live.timer.description, seconds)

    def _first_run(
        self, variant: Variant, case: Case, inputs: GuardedInputs, offset: int
    ) -> tuple[LiveCase, float, list[Output]]:
        """The case as its variant makes it ready, when that was done, and what it computes."""
        self._ran.append(case)
        problem = Problem.make(case, inputs.given, offset)
        live = LiveCase(variant, variant.prepare(problem), inputs.judge, [Buffers(problem)])
        self._live[case] = live
        built = time.perf_counter()
        return live, built, live.run(live.launch, fresh=0)

    def sample(self, case: Case, seconds: float, most: int) -> Block:
        """Take samples; a block whose SM clock was too low is discarded whole. A case that fails is released."""
        try:
            with self._step(case), phase_range("timed"):
                self._refuse_caught(case)
                self._ran.append(case)
                return self._sample(case, seconds, most)
        except CaseError:
            self.abandon(case)
            raise

    def _sample(self, case: Case, seconds: float, most: int) -> Block:
        start = time.perf_counter()
        live = self._live[case]
        if case.device_kind != "cuda":
            with live.block():
                taken = live.timer.sample(seconds, most)
            return _cpu_block(live, taken, start)
        telemetry = self._telemetry_of(case.device)
        expected = telemetry.expected_sm_mhz()
        readings = [_awake(telemetry, live.timer, expected)]
        samples = live.timer.sample(seconds, most).samples
        readings.append(telemetry.read())
        kept = [] if too_slow(readings, expected) else samples
        return Block(kept, len(samples) - len(kept), readings, time.perf_counter() - start)

    def finish(self, case: Case) -> Finished:
        """Check again, on other inputs and by what was timed (the replay of a graph, say), and release."""
        start = time.perf_counter()
        try:
            with self._step(case), phase_range("check"):
                check = self._checked_again(case)
            notes = self._notes.get(case, []) + self._guests.see_off(case)
            return Finished(check.to_dict(), time.perf_counter() - start, notes)
        finally:
            self.abandon(case)

    @contextlib.contextmanager
    def _step(self, case: Case) -> Iterator[None]:
        """Around all that a case does: its errors get a status, what it does to the process is undone and noted."""
        before, here = take(), company()
        try:
            with _translated(), case_range(case.key, get_variant(case.variant).backend):
                yield
        finally:
            self._guests.add(case, come(here))
            notes = self._notes.setdefault(case, [])
            notes += [note for note in restore(before) if note not in notes]

    def _checked_again(self, case: Case) -> Check:
        """Run and compare; a case that changed the inputs is wrong whatever it computed."""
        live = self._live[case]
        self._refuse_caught(case)
        live.refuse_tampered()
        self._ran.append(case)
        outputs = live.timed or live.run(live.timer.run_timed, fresh=1)
        if self._catch_spoiler():
            self._refuse_caught(case)
            # Somebody else did it: this case has computed with spoiled inputs, and gets another chance.
            outputs = live.run(live.timer.run_timed, fresh=1)
        return live.judged(outputs, fresh=1)

    def supply(self, case: Case) -> None:
        """Inputs, and the sums of the case's reference; what fails here fails again, and is told, in ``prepare``."""
        with contextlib.suppress(Exception), self._step(case):
            variant = get_variant(case.variant)
            self._refuse(variant, case)
            self._input_set(case, False).judge.terms(variant.layer, case.nm, fresh=0)
        self._guests.see_off(case)
        self._notes.pop(case, None)

    def begin(self, step: str, case: Case) -> None:
        """There is only this process, which begins when it is asked."""

    def ready(self) -> bool:
        """It is not there before it is asked for."""
        return True

    def abandon(self, case: Case) -> None:
        """Release without a check."""
        self._live.pop(case, None)
        self._caught.pop(case, None)
        self._guests.see_off(case)
        self._notes.pop(case, None)
        self._release()

    def renew(self) -> None:
        """There is only this process: what is prepared is released, so that preparing draws new addresses."""
        for case in list(self._live):
            self._guests.see_off(case)
        self._live.clear()
        self._caught.clear()
        self._notes.clear()
        self._ran.clear()
        self._release()

    def beside(self) -> None:
        """There is only this process."""
        return

    def close(self) -> None:
        """Release everything."""
        self._live.clear()
        self._inputs.clear()
        self._dense = None
        self._release()

    def _refuse(self, variant: Variant, case: Case) -> None:
        """Raise before anything is allocated if this case cannot run here."""
        if case.device_kind == "cpu" and case.mode not in CPU_MODES:
            raise CaseError(Status.UNAVAILABLE, f"mode {case.mode} needs CUDA; on a CPU use {', '.join(CPU_MODES)}")
        if case.device_kind == "cuda" and case.mode not in CUDA_MODES:
            raise CaseError(Status.UNAVAILABLE, f"mode {case.mode} is for CPUs; on CUDA use {', '.join(CUDA_MODES)}")
        require_device(case.device)
        if reason := variant.why_unavailable(case.device_kind):
            raise CaseError(Status.UNAVAILABLE, reason)
        if reason := variant.why_refused(case):
            raise CaseError(Status.UNSUPPORTED, reason)
        for place, needed in memory_needed(variant, case).items():
            if needed > memory_of(place).available:
                # A full collection costs a third of a second with torch loaded: only when memory is short.
                gc.collect()
                self._release()
            if needed > (free := memory_of(place).available):
                raise CaseError(
                    Status.OOM, f"needs {needed / 1e9:.1f} GB on {place}, {free / 1e9:.1f} GB are available"
                )

    def _input_set(self, case: Case, non_finite: bool) -> GuardedInputs:
        key = (*input_key(case), non_finite)
        if key not in self._inputs:
            self._catch_spoiler()
            while len(self._inputs) >= INPUT_SETS:
                del self._inputs[next(iter(self._inputs))]
            self._inputs[key] = GuardedInputs(case, self._dense_inputs(case, non_finite))
        return self._inputs[key]

    def _dense_inputs(self, case: Case, non_finite: bool) -> GuardedDense:
        """Weights are the largest part of the inputs: only the current ones are kept, whatever masks go with them."""
        key = (*dense_key(case), non_finite)
        if self._dense is None or self._dense_of != key:
            self._dense, self._dense_of = GuardedDense(case, non_finite=non_finite, shelf=self._shelf), key
        return self._dense

    def _catch_spoiler(self) -> bool:
        """Put the inputs right and remember who changed them; whether anybody did."""
        done = self._changes() if self._ran else ""
        if done:
            self._caught |= dict.fromkeys(self._culprits(), f"{done}; the inputs are every case's and were put right")
        self._ran.clear()
        return bool(done)

    def _changes(self) -> str:
        found = dict.fromkeys(change for inputs in self._inputs.values() for change in inputs.changes())
        # Sets of inputs share their weights: what one of them finds, matrices of all may have been made of.
        for inputs in self._inputs.values() if found else ():
            inputs.given.forget_common()
        return " and ".join(found)

    def _culprits(self) -> list[Case]:
        """Who of those that ran did it: run alone once more, they do it again."""
        suspects = list(dict.fromkeys(self._ran))
        if len(suspects) <= 1:
            return suspects
        again = []
        for case in suspects:
            if case in self._live:
                with contextlib.suppress(Exception):
                    self._live[case].launch()
                    self._live[case].wait()
                if self._changes():
                    again.append(case)
        return again

    def _refuse_caught(self, case: Case) -> None:
        if case in self._caught:
            raise CaseError(Status.WRONG, self._caught.pop(case))

    def _timer_over_copies(self, live: LiveCase) -> Timer:
        """The clock, over every copy of the layer that its mode asks for; each copy is checked."""
        variant, case = live.variant, live.problem.case
        resident, cache = variant.resident_bytes(case), last_level_cache()
        cold = None
        if case.device_kind == "cuda":
            count = replicas_needed(case.mode, case.device, resident)
        elif case.mode == "cold":
            memory = memory_of(case.device)
            room = int(memory.available + resident - LEFT_FREE * memory.total)
            cold = cold_on_cpu(resident, cache, room, variant.declare(case).total)
            count = cold.copies
        else:
            count = 1
        launches = [live.launch]
        for number in range(1, count):
            buffers = Buffers(live.problem.replica(number))
            launches.append(variant.prepare(buffers.problem))
            live.judged(live.run(launches[-1], 0, [buffers]), 0)
            live.buffers.append(buffers)
        if case.device_kind == "cuda":
            return CudaTimer(launches, case.mode, case.device)
        evict = self._evictor if case.mode == "walk" or (cold and cold.walk) else None
        how = describe(cold, resident, cache, evict.description if evict else "") if cold else ""
        return CpuTimer(launches, case.mode, evict, how, pin=pins())

    @cached_property
    def _evictor(self) -> CpuEvictor:
        return CpuEvictor()

    def _telemetry_of(self, device: str) -> GpuTelemetry:
        if device not in self._telemetry:
            self._telemetry[device] = GpuTelemetry.of_cuda(device)
        return self._telemetry[device]

    def _release(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _cpu_block(live: LiveCase, taken: Taken, start: float) -> Block:
    """A block of a CPU's samples; one whose threads had to wait for a core is discarded whole."""
    if taken.cpu is None:
        return Block(taken.samples, 0, [], time.perf_counter() - start, taken.copies, taken.settling)
    # A walk's own threads and pools that still spin wait for each other: that says nothing about neighbours.
    walked = isinstance(live.timer, CpuTimer) and live.timer.walks
    why = None if walked or keeps_starved() else why_starved(taken.cpu, expected_cores(live.readings))
    live.readings.append(taken.cpu)
    kept = Taken([], []) if why else taken
    lost = len(taken.samples) - len(kept.samples)
    seconds = time.perf_counter() - start
    reading: Reading = {**taken.cpu.to_reading(), "pool": pool_of(live.variant.backend), "bound": int(pins())}
    return Block(kept.samples, lost, [reading], seconds, kept.copies, taken.settling, why or "")


def _awake(telemetry: GpuTelemetry, timer: Timer, expected: float | None) -> Reading:
    """A reading before samples. A GPU that has waited for the host clocks down, which says nothing about what follows:
    it is kept busy until its clock is up, for a limited time.
    """
    reading = telemetry.read()
    for _ in range(WAKE_TRIES):
        if not too_slow([reading], expected):
            break
        timer.keep_busy(WAKE_SECONDS)
        reading = telemetry.read()
    return reading


def require_device(device: str) -> None:
    """Raise :class:`UnavailableError` if ``device`` is not here."""
    if device.startswith("cpu:"):
        raise UnavailableError(f"device {device} is a name of a fleet's; the CPU of this machine is cpu")
    if not device.startswith("cuda"):
        return
    import torch

    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else " (this torch is a CPU build)"
        raise UnavailableError(f"no CUDA device can be used here{built}; `mglubench doctor` says what is missing")
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise UnavailableError(f"device {device} does not exist; this machine has {torch.cuda.device_count()} GPU(s)")


def memory_needed(variant: Variant, case: Case) -> dict[str, int]:
    """Bytes by place that preparing the case takes."""
    if case.device_kind == "cpu":
        return {"cpu": host_bytes(case) + variant.resident_bytes(case)}
    return {"cpu": host_bytes(case), case.device: variant.resident_bytes(case)}


def memory_of(device: str) -> Memory:
    """Total and available bytes of a device's memory."""
    if not device.startswith("cuda"):
        return Memory(total_memory(), available_memory())
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return Memory(total, free)


class _translated:  # noqa: N801 - reads as a statement: with _translated():
    """Turn whatever a variant raises into a :class:`CaseError` with a one-line reason."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, CaseError) or not isinstance(error, Exception):
            return
        if isinstance(error, UnavailableError):
            raise CaseError(Status.UNAVAILABLE, first_line(error)) from error
        if isinstance(error, MemoryError) or "out of memory" in text_of(error).lower():
            raise CaseError(Status.OOM, f"out of memory: {first_line(error)}") from error
        prefix = "" if isinstance(error, MglubenchError) else f"{type(error).__name__}: "
        raise CaseError(Status.ERROR, prefix + first_line(error)) from error
