"""Run the Triton kernel in its interpreter on CPU tensors; prints the errors against float64 as JSON.

Started by test_triton.py as a process of its own, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

import json
import sys

import torch

from mglubench.cases.case import Case
from mglubench.kernels.on_device import pad_columns
from mglubench.kernels.triton_call import LAYOUT, ROW_MULTIPLE, enqueue
from mglubench.kernels.triton_source import flash_mglu
from mglubench.layer.input_set import InputSet
from mglubench.layer.masks import pack
from mglubench.variants.registry import get_variant
from tests.variants.judging import errors_of, spoil


def main() -> None:
    errors = {}
    for values, bad in json.loads(sys.argv[1]):
        case = Case.from_dict(values)
        inputs = InputSet(case)
        spoil(inputs, bad)
        y = torch.full((case.batch, case.d), float("nan"), dtype=inputs.dtype)
        weight = pad_columns(inputs.weight, ROW_MULTIPLE)
        masks = torch.from_numpy(pack(inputs.masks(case.nm), LAYOUT).data).view(torch.int32)
        enqueue(flash_mglu, weight, masks, inputs.x(0), y, case.nm, case.activation, ROWS=2, STAGES=1)
        errors[case.key + bad] = errors_of(case, inputs, y, get_variant("flash-mglu-triton").method)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
