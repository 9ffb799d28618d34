"""What the shipped function adds to its kernel, in one process: ``python -m tests.benchmarks.operator_cost NM...``.

Both arms read the same packed weights, and single launches of them alternate: what is left between the two is neither
the pages that a copy lies in nor the hour. Copies take turns as in a ``cold`` sweep, and each arm meets a copy that the
other did not just read. Prints one JSON object: nm to the ratio of the two medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

from mglubench.cases.case import Case
from mglubench.kernels.cpu_call import LAYOUT, mglu_call
from mglubench.kernels.on_device import masks_on_device
from mglubench.layer.dense_inputs import DenseInputs
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.nn.functional import with_masks
from mglubench.variants.mglu_op import launch_of

COPIES, TURNS = 6, 30
# Launches before the first that counts, so that pools are awake and everything is compiled.
FIRST = 60


def main() -> int:
    """Measure the main job's shape at the numbers of masks that were named."""
    dense, ratios = None, {}
    for nm in map(int, sys.argv[1:]):
        case = Case(variant="mglu-op", h=2048, d=8192, nm=nm, mask="bernoulli:0.5")
        dense = dense or DenseInputs(case)
        ratios[nm] = ratio(InputSet(case, dense), case)
    print(json.dumps(ratios))
    return 0


def ratio(inputs: InputSet, case: Case) -> float:
    """The operator's median over the bare kernel's."""
    first = Problem.make(case, inputs)
    bare, shipped = [], []
    for number in range(1, COPIES + 1):
        problem = first.replica(number)
        packed = with_masks(problem.weight, masks_on_device(inputs, case.nm, LAYOUT, "cpu"), case.nm)
        bare.append(_bare(problem, mglu_call(packed.weight, packed.masks, case.nm, case.activation)))
        shipped.append(launch_of(packed, problem))
    for turn in range(FIRST):
        (bare, shipped)[turn % 2][turn % COPIES]()
    times: tuple[list[int], list[int]] = ([], [])
    for turn in range(TURNS * COPIES):
        # Either may be the first of a pair.
        for arm in (0, 1) if turn % 2 else (1, 0):
            launch = (bare, shipped)[arm][(turn + arm * COPIES // 2) % COPIES]
            start = time.perf_counter_ns()
            launch()
            times[arm].append(time.perf_counter_ns() - start)
    return statistics.median(times[1]) / statistics.median(times[0])


def _bare(problem: Problem, call: Callable[..., None]) -> Callable[[], None]:
    return lambda: call(problem.x, problem.y)


if __name__ == "__main__":
    sys.exit(main())
