"""Nsight Compute: the command that counts each case's bytes, and its report as a CSV.

``--clock-control none``: mglubench never changes the clocks of a card. ``--cache-control all`` flushes the caches
before every kernel, as ``cold`` and ``graph`` cases want it; ``hot`` cases run with ``none``, or their counters would
be those of a cold case. A variant of several kernels therefore pays DRAM reads for what its first kernel left in L2.

The filter names the phase range, ``mglubench@timed/``: a push/pop range needs the trailing slash, and a case key would
need its own slashes escaped. Which case a kernel belongs to is read from the report, where its ranges are listed.
Source: Nsight Compute CLI, "NVTX Filtering", "Profile Import", "Console Output".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.hardware.counter_names import DOMAIN, TIMED, metric_names
from mglubench.profilers.profiler import Attempt, Failure, attempt_of, read_back, start, target_command, write_work
from mglubench.results.csv_text import has_table
from mglubench.status import Status
from mglubench.system.process import run_process

QUERY_SECONDS = 120.0
IMPORT_SECONDS = 600.0
_BASE_NAME = re.compile(r"^([a-z0-9]+__\w+)", re.MULTILINE)


class Ncu:
    """Counts with Nsight Compute.

    Args:
        program: its path. capability: of the device, such as ``"9.0"``; ``None`` if it is not known.
    """

    name = "ncu"

    def __init__(self, program: str, capability: str | None) -> None:
        self._program = program
        self.metrics = metric_names(capability, self._known_metrics())

    def run(self, cases: Sequence[Case], stem: Path, timeout: float) -> Attempt:
        """Profile cases of one setting: ``STEM.ncu-rep`` and, read back from it, ``STEM.csv``, which is the report."""
        work, outcomes = write_work(cases, stem, launches=1)
        report, log, said = (stem.with_suffix(end) for end in (".ncu-rep", ".ncu.log", ".log"))
        command = self.command(cases, work, report, log)
        ended = start(command, said, timeout)
        if not ended.started:
            return Attempt(None, failure=Failure(Status.UNAVAILABLE, ended.said(), everyone=True))
        attempt = attempt_of(self.name, ended.code, (said, log), outcomes, report, timeout)
        if attempt.report is None:
            return attempt
        return self._export(attempt, report)

    def command(self, cases: Sequence[Case], work: Path, report: Path, log: Path) -> list[str]:
        """The full command line."""
        options = {
            "--clock-control": "none",
            "--cache-control": str(self.facts(cases)["cache_control"]),
            "--nvtx-include": f"{DOMAIN}@{TIMED}/",
            "--metrics": ",".join(self.metrics),
            "--target-processes": "application-only",
            "--log-file": str(log),
            "--export": str(report),
        }
        given = [word for option in options.items() for word in option]
        return [self._program, "--nvtx", "--force-overwrite", *given, *target_command(work)]

    def facts(self, cases: Sequence[Case]) -> dict[str, str | int]:
        """Cache control, clock control and launches."""
        hot = cases[0].mode == "hot"
        return {"cache_control": "none" if hot else "all", "clock_control": "none", "launches": 1}

    def _export(self, attempt: Attempt, report: Path) -> Attempt:
        """The attempt with its report as CSV; if what was printed is no table, the reader will say what it is."""
        path = report.with_suffix(".csv")
        command = [self._program, "--import", str(report), "--csv", "--page", "raw", "--print-units", "base"]
        path.unlink(missing_ok=True)
        ended = start(command, path, IMPORT_SECONDS, capped=False)
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if not has_table(text):
            return replace(attempt, report=path if text else None)
        return read_back(attempt, self.name, ended, path, text)

    def _known_metrics(self) -> list[str]:
        """Base names that this ncu lists for the devices here; none if it cannot be asked."""
        return _BASE_NAME.findall(run_process([self._program, "--query-metrics"], QUERY_SECONDS).out)
