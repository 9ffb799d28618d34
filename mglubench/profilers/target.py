"""What a profiler starts: cases in, one launch per case inside its NVTX range, and what became of each case out.

Started as ``python -m mglubench.profilers.target CASES.json`` under ncu or nsys by :mod:`mglubench.profilers.profiler`.
``CASES.json`` holds ``cases``, ``launches`` (how many to make in each case's range, one by default) and ``outcomes``, a
file that gets one JSON line when a case begins and one when it ends; what a crash leaves in it names the culprit.

Preparing (packing, compiling, checking against float64, warming up) is done before and is not in the timed range, so a
profiler that is told to look at ``mglubench@timed/`` sees the launch alone.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any

from mglubench.cases.case import Case
from mglubench.errors import CaseError, MglubenchError
from mglubench.executors.local import LocalSession
from mglubench.measure.annotate import case_range, phase_range
from mglubench.status import Status
from mglubench.system.plain_text import words_of
from mglubench.variants.registry import get_variant


class TargetSession(LocalSession):
    """A session whose prepared launches can be run bare: no clock, no cache eviction, no event around them."""

    def launch(self, case: Case, times: int) -> None:
        """Run a prepared case so many times, back to back in its timed range, and wait for the device."""
        launch = self._live[case].launch
        with case_range(case.key, get_variant(case.variant).backend), phase_range("timed"):
            for _ in range(times):
                launch()
            synchronize(case)


def main(arguments: list[str]) -> int:
    """Entry point; the exit code is 0 even if cases fail, because their outcomes say so."""
    faulthandler.enable()
    work = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    run(work, TargetSession())
    return 0


def run(work: dict[str, Any], session: TargetSession) -> None:
    """Prepare, launch and release each case in turn; a case that fails does not stop the next."""
    with Path(work["outcomes"]).open("a", encoding="utf-8") as outcomes:
        for case in map(Case.from_dict, work["cases"]):
            _tell(outcomes, key=case.key, status="begun", reason="")
            status, reason = _run_case(case, work.get("launches", 1), session)
            _tell(outcomes, key=case.key, status=status, reason=reason)
    session.close()


def _run_case(case: Case, launches: int, session: TargetSession) -> tuple[Status, str]:
    try:
        session.prepare(case)
        synchronize(case)
        session.launch(case, launches)
    except CaseError as error:
        return error.status, words_of(error)
    except (MglubenchError, RuntimeError) as error:
        return Status.ERROR, words_of(error)
    finally:
        session.abandon(case)
    return Status.OK, ""


def synchronize(case: Case) -> None:
    """Wait for the device; nothing to wait for on a CPU."""
    if case.device_kind == "cuda":
        import torch

        torch.cuda.synchronize(case.device)


def _tell(outcomes: Any, **fields: str) -> None:
    """One line, on disk before the next step: a crash must not take it along."""
    outcomes.write(json.dumps(fields) + "\n")
    outcomes.flush()
    os.fsync(outcomes.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
