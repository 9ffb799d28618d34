"""A session that computes nothing: latencies from the declared bytes, faults on request.

It drives the whole command line in tests, instantly and without torch. Its runs are marked ``fake`` in their record and
in every table, so that no one takes them for measurements.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors.machine import Machine, Memory
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.hardware.devices import Device
from mglubench.measure.measurement import Errors
from mglubench.status import Status
from mglubench.system.plain_text import first_line, words_of
from mglubench.variants.registry import variant_of, variants

BANDWIDTH = 50e9
OVERHEAD_NS = 2000.0
NOISE = 0.02
COPIES = 5


class FakeSession:
    """Latencies are declared bytes at 50 GB/s plus 2 us, with 2 % noise that depends on the case and on its process.

    Args:
        faults: status by variant name; such a variant fails when it is prepared.
        cuda: whether to pretend that there is a GPU. slow: how many times slower variants are, by name.
    """

    def __init__(
        self, faults: Mapping[str, str] | None = None, cuda: bool = False, slow: Mapping[str, float] | None = None
    ) -> None:
        self._faults = dict(faults or {})
        self._slow = dict(slow or {})
        self._cuda = cuda
        self._random: dict[Case, np.random.Generator] = {}
        self._process = 0

    def describe(self, devices: tuple[str, ...]) -> Machine:
        """A machine that does not exist."""
        best = "cuda" if self._cuda else "cpu"
        resolved = tuple(best if device == "auto" else device for device in devices)
        if not self._cuda and any(device.startswith("cuda") for device in resolved):
            raise UnavailableError("no CUDA device can be used here; `mglubench doctor` says what is missing")
        found = {device: Device("cuda" if device.startswith("cuda") else "cpu", "fake device") for device in resolved}
        return Machine(
            fake=True,
            devices=found,
            memory=dict.fromkeys(resolved, Memory(1 << 40, 1 << 39)),
            unavailable={
                kind: {
                    name: f"runs on {' and '.join(variant.devices)} only"
                    for name, variant in variants().items()
                    if kind not in variant.devices
                }
                for kind in sorted({device.kind for device in found.values()})
            },
        )

    def prepare(self, case: Case, offset: int = 0, *, non_finite: bool = False) -> Prepared:
        """Fail if asked to, else be ready at once."""
        variant = variant_of(case)
        if case.variant in self._faults:
            raise CaseError(self._faults[case.variant], f"planted fault in {case.variant}")
        try:
            reason, ledger = variant.why_refused(case), variant.declare(case).to_dict()
        except MglubenchError as error:
            raise CaseError(Status.ERROR, words_of(error)) from None
        except Exception as error:
            # A plug-in's own mistake is a row with a reason, as in the worker.
            raise CaseError(Status.ERROR, f"{type(error).__name__}: {first_line(error)}") from None
        if reason:
            raise CaseError(Status.UNSUPPORTED, reason)
        if case.device_kind not in variant.devices:
            raise CaseError(Status.UNAVAILABLE, f"runs on {' and '.join(variant.devices)} only")
        self._random[case] = np.random.default_rng((zlib.crc32(case.key.encode()), self._process))
        check: Errors = {"relative": 0.0, "worst": 0.0, "unwritten": 0}
        seconds = dict.fromkeys(("inputs", "build", "check", "warm_up"), 0.0)
        return Prepared(check, ledger, "fake clock", seconds)

    def sample(self, case: Case, seconds: float, most: int) -> Block:
        """Ten samples, on copies in turns."""
        total = variant_of(case).declare(case).total
        middle = (OVERHEAD_NS + total / BANDWIDTH * 1e9) * self._slow.get(case.variant, 1.0)
        noise = self._random[case].normal(0.0, NOISE, min(10, most))
        samples = [float(v) for v in middle * np.exp(noise)]
        return Block(samples, 0, [], seconds, copies=[place % COPIES for place in range(len(samples))])

    def finish(self, case: Case) -> Finished:
        """Always right."""
        del self._random[case]
        return Finished({"relative": 0.0, "worst": 0.0, "unwritten": 0}, 0.0)

    def supply(self, case: Case) -> None:
        """Nothing is judged."""

    def begin(self, step: str, case: Case) -> None:
        """Everything is done at once, when it is asked for."""

    def ready(self) -> bool:
        """No answer is waited for."""
        return True

    def abandon(self, case: Case) -> None:
        """Forget the case."""
        self._random.pop(case, None)

    def renew(self) -> None:
        """As if in another process."""
        self._random.clear()
        self._process += 1

    def beside(self) -> None:
        """There is only this process."""
        return

    def close(self) -> None:
        """Nothing to release."""
