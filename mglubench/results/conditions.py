"""In what two sides of runs differ beside what they measured: what forbids to compare them, and what is only said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mglubench.hardware.devices import Device
from mglubench.results.judgement import Reason
from mglubench.results.run_comparison import Difference
from mglubench.results.run_figures import RunFigures

# What a device's record tells, in words, with the code of what must not be compared.
_OF_DEVICE: tuple[tuple[str, Reason, Callable[[Device], object]], ...] = (
    ("device", Reason.OTHER_DEVICE, lambda device: device.name),
    ("compute capability", Reason.OTHER_DEVICE, lambda device: device.capability),
    ("multiprocessors", Reason.OTHER_DEVICE, lambda device: device.sm_count),
    ("MIG", Reason.OTHER_DEVICE, lambda device: device.card.mig if device.card else None),
    ("ECC", Reason.OTHER_DEVICE, lambda device: device.card.ecc if device.card else None),
    ("driver", Reason.OTHER_DRIVER, lambda device: device.card.driver if device.card else None),
    ("highest SM clock, MHz", Reason.OTHER_CLOCKS, lambda device: device.card.sm_mhz_max if device.card else None),
    (
        "highest memory clock, MHz",
        Reason.OTHER_CLOCKS,
        lambda device: device.card.memory_mhz_max if device.card else None,
    ),
    ("power limit, W", Reason.OTHER_CLOCKS, lambda device: device.card.power_limit_watts if device.card else None),
    ("threads of torch", Reason.OTHER_THREADS, lambda device: device.torch_threads),
    ("threads of Numba", Reason.OTHER_THREADS, lambda device: device.numba_threads),
    ("instructions", Reason.OTHER_DEVICE, lambda device: device.cpu_capability),
)
# How long and how often is part of what is measured: a block's length decides whether pools are warm.
_OF_MEASURING = ("rounds", "processes", "max_seconds", "min_samples", "max_samples", "target_noise")
# Variables that bind threads or change how they wait, by the beginnings of their names.
_OF_THREADS = ("OMP_", "MKL_", "KMP_", "NUMBA_NUM", "NUMBA_THREADING", "MGLUBENCH_PIN", "MGLUBENCH_KEEP_STARVED")


def differences(base: Sequence[RunFigures], new: Sequence[RunFigures]) -> list[Difference]:
    """All in which the sides' records differ; a side whose own runs differ says so with several values."""
    return [
        *_of_devices(base, new),
        *_compared("measuring rule, schema", Reason.OTHER_MEASURING, base, new, lambda run: run.header["schema"]),
        *(
            difference
            for name in _OF_MEASURING
            for difference in _compared(
                f"measuring rule, {name.replace('_', '-')}", Reason.OTHER_MEASURING, base, new, _measure(name)
            )
        ),
        *_of_variables(base, new),
        *_compared("fake runs", Reason.FAKE, base, new, lambda run: "yes" if run.fake else "no"),
        *_said(base, new),
    ]


def _of_devices(base: Sequence[RunFigures], new: Sequence[RunFigures]) -> Iterator[Difference]:
    # A device that one side lacks is no difference: its cases are missing, or new.
    names = [name for run in base for name in run.devices if any(name in other.devices for other in new)]
    for name in dict.fromkeys(names):
        for what, reason, told in _OF_DEVICE:

            def tell(run: RunFigures, name: str = name, told: Callable[[Device], object] = told) -> object:
                device = run.devices.get(name)
                return None if device is None else told(device)

            yield from _compared(what, reason, base, new, tell, name)


def _of_variables(base: Sequence[RunFigures], new: Sequence[RunFigures]) -> Iterator[Difference]:
    tables = [_variables(run) for run in (*base, *new)]
    for name in sorted({name for table in tables for name in table if name.startswith(_OF_THREADS)}):
        yield from _compared(name, Reason.OTHER_THREADS, base, new, _variable(name))


def _said(base: Sequence[RunFigures], new: Sequence[RunFigures]) -> Iterator[Difference]:
    """What may well be the reason of a change, and so does not forbid to look at it."""
    yield from _compared("commit", None, base, new, lambda run: run.told().commit[:11] or "unknown")
    yield from _compared("python", None, base, new, lambda run: run.header["environment"]["python"])
    packages = {name for run in (*base, *new) for name in run.header["environment"]["packages"]}
    for package in sorted(packages):
        yield from _compared(package, None, base, new, _version(package))


def _compared(
    what: str,
    reason: Reason | None,
    base: Sequence[RunFigures],
    new: Sequence[RunFigures],
    told: Callable[[RunFigures], object],
    device: str = "",
) -> Iterator[Difference]:
    """A difference where the values of all runs are not one; what a record does not tell differs from nothing."""
    before, now = ({str(v): None for run in side if (v := told(run)) is not None} for side in (base, new))
    if len({*before, *now}) > 1 and before and now:
        yield Difference(what, " and ".join(before), " and ".join(now), reason, device)


def _measure(name: str) -> Callable[[RunFigures], object]:
    def told(run: RunFigures) -> object:
        settings = run.header["sweep"].get("measure")
        return settings.get(name) if isinstance(settings, Mapping) else None

    return told


def _version(package: str) -> Callable[[RunFigures], object]:
    return lambda run: run.header["environment"]["packages"].get(package, "none")


def _variable(name: str) -> Callable[[RunFigures], object]:
    return lambda run: _variables(run).get(name, "not set")


def _variables(run: RunFigures) -> Mapping[str, object]:
    found = run.header["environment"].get("variables")
    return found if isinstance(found, Mapping) else {}
