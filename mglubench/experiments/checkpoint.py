"""Where a training stands, in one file of plain arrays, published by a rename. Importing this module imports torch."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

STEP = "step"


def save_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Write what a training goes on from.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    arrays = {STEP: np.array(step)}
    arrays.update({f"model {name}": value.numpy() for name, value in model.state_dict().items()})
    for number, parameter in enumerate(_parameters(optimiser)):
        arrays[f"parameter {number}"] = parameter.detach().numpy()
        for name, value in optimiser.state.get(parameter, {}).items():
            arrays[f"state {number} {name}"] = value.numpy()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> int | None:
    """Take over what a checkpoint holds, and return its step; ``None`` where there is none that fits."""
    arrays = _read(path)
    parameters = _parameters(optimiser)
    if arrays is None or any(f"parameter {number}" not in arrays for number in range(len(parameters))):
        return None
    load_weights(model, arrays)
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            parameter.copy_(torch.from_numpy(arrays[f"parameter {number}"]))
            own = f"state {number} "
            optimiser.state[parameter] = {
                name.removeprefix(own): torch.from_numpy(value)
                for name, value in arrays.items()
                if name.startswith(own)
            }
    return int(arrays[STEP])


def read_weights(path: Path, model: nn.Module) -> bool:
    """Take over the weights alone; whether they were there."""
    arrays = _read(path)
    if arrays is None:
        return False
    load_weights(model, arrays)
    return True


def load_weights(model: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Weights and buffers of a model, from a checkpoint's arrays."""
    own = "model "
    model.load_state_dict(
        {name.removeprefix(own): torch.from_numpy(a) for name, a in arrays.items() if name.startswith(own)}
    )


def _parameters(optimiser: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
