"""An independent clock: Triton's ``do_bench`` on the same launches.

Started as ``python -m mglubench.campaign.do_bench CASES OUT MILLISECONDS``.

CASES is a JSON list of cases; OUT gets a JSON line per case with ``key``, ``status``, ``reason`` and ``do_bench_us``,
the median in microseconds. ``triton.testing.do_bench`` zeroes a buffer larger than the L2 cache before every launch and
takes CUDA events around it; nothing of this project's timers takes part. A process of its own: a fault costs no other
step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mglubench.campaign.unit_rows import ClockedRow
from mglubench.cases.case import Case
from mglubench.executors.local import require_device
from mglubench.layer.dense_inputs import DenseInputs
from mglubench.layer.drawing import dense_key
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.system.plain_text import first_line
from mglubench.variants.registry import variant_of

_dense: dict[object, DenseInputs] = {}


def inputs_of(case: Case) -> InputSet:
    """Inputs of a case; its weights are shared with the case before, where that has the same."""
    key = dense_key(case)
    if key not in _dense:
        _dense.clear()
        _dense[key] = DenseInputs(case)
    return InputSet(case, _dense[key])


def do_bench_us(case: Case, milliseconds: float) -> float:
    """Median of one launch in microseconds, by ``triton.testing.do_bench`` over so many milliseconds."""
    from triton.testing import do_bench

    problem = Problem.make(case, inputs_of(case))
    launch = variant_of(case).prepare(problem)
    return float(do_bench(launch, warmup=25, rep=milliseconds, return_mode="median")) * 1e3


def row_of(case: Case, milliseconds: float) -> ClockedRow:
    """The line of one case; an exception is a reason."""
    try:
        require_device(case.device)
        return {"key": case.key, "status": "ok", "reason": "", "do_bench_us": do_bench_us(case, milliseconds)}
    except Exception as error:
        return {"key": case.key, "status": "error", "reason": first_line(error), "do_bench_us": None}


def main(cases: str, out: str, milliseconds: str) -> None:
    """Time every case and write its line at once."""
    with Path(out).open("a", encoding="utf-8") as file:
        for values in json.loads(Path(cases).read_text(encoding="utf-8")):
            file.write(json.dumps(row_of(Case.from_dict(values), float(milliseconds))) + "\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
