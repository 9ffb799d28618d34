"""Nsight Systems: a timeline of each case with its ranges, and its SQLite export.

Each case is launched several times in a row inside its range, so that the gaps between launches can be seen. Source:
Nsight Systems User Guide, "CLI profile command", "CLI export command".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.profilers.profiler import Attempt, Failure, attempt_of, read_back, start, target_command, write_work
from mglubench.status import Status

LAUNCHES = 20
EXPORT_SECONDS = 600.0


class Nsys:
    """Records timelines with Nsight Systems."""

    name = "nsys"

    def __init__(self, program: str) -> None:
        self._program = program

    def run(self, cases: Sequence[Case], stem: Path, timeout: float) -> Attempt:
        """Profile cases of one setting: ``STEM.nsys-rep`` and, exported from it, ``STEM.sqlite``, the report."""
        work, outcomes = write_work(cases, stem, LAUNCHES)
        recorded, report, log = (stem.with_suffix(end) for end in (".nsys-rep", ".sqlite", ".log"))
        ended = start(self.command(cases, work, recorded), log, timeout)
        if not ended.started:
            return Attempt(None, failure=Failure(Status.UNAVAILABLE, ended.said(), everyone=True))
        attempt = attempt_of(self.name, ended.code, (log,), outcomes, recorded, timeout)
        if attempt.report is None:
            return attempt
        said = log.with_suffix(".export.log")
        exported = start(self.export_command(recorded, report), said, EXPORT_SECONDS)
        return read_back(attempt, self.name, exported, report, said.read_text(encoding="utf-8", errors="replace"))

    def command(self, cases: Sequence[Case], work: Path, recorded: Path) -> list[str]:
        """The command line that records: CUDA and NVTX alone, no sampling of the CPU, graphs kernel by kernel."""
        options = ["--trace=cuda,nvtx", "--sample=none", "--cpuctxsw=none", "--force-overwrite=true"]
        if any(case.mode == "graph" for case in cases):
            options.append("--cuda-graph-trace=node")
        return [self._program, "profile", *options, f"--output={recorded}", *target_command(work)]

    def export_command(self, recorded: Path, report: Path) -> list[str]:
        """The command line that exports."""
        return [
            *(self._program, "export", "--type=sqlite", "--force-overwrite=true"),
            f"--output={report}",
            str(recorded),
        ]

    def facts(self, cases: Sequence[Case]) -> dict[str, str | int]:
        """Launches in each case's range."""
        return {"launches": LAUNCHES}
