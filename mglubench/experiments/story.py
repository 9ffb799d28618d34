"""The story of an experiment: read the text, open the record, train trial after trial, evaluation by evaluation.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from mglubench.errors import CaseError
from mglubench.experiments.arms import ARMS, arms_named
from mglubench.experiments.checkpoint import read_weights
from mglubench.experiments.corpus import Corpus
from mglubench.experiments.decoder import Decoder, DenseMLP
from mglubench.experiments.setting import Setting
from mglubench.experiments.telling import Telling
from mglubench.experiments.training import Training
from mglubench.experiments.trial import Trial, row_of
from mglubench.experiments.trial_plan import DENSE, expected, is_over, planned
from mglubench.experiments.trial_record import Header, Record, open_record
from mglubench.hardware.environment import device_here, host_record
from mglubench.nn.hf_registry import Dense
from mglubench.nn.hf_starts import SwapConfig, started


@dataclass(frozen=True)
class Experiment:
    """What is to be found out, and on which text."""

    name: str
    setting: Setting
    arms: list[str]
    corpus: Corpus


def run_experiment(asked: Experiment, folder: Path, *, resume: bool, telling: Telling, threads: int = 1) -> None:
    """Train what is not yet in the folder's record.

    Args:
        threads: of torch. Small products gain little from more, and lose much where other work runs; rows of one
            number of threads are the same to the last digit on one machine.

    Raises:
        UsageError: a folder that holds something else. StoreError: it is being written, or cannot be.
        KeyboardInterrupt: finished evaluations are kept, and the same call with ``resume`` goes on behind the last one.
    """
    before = torch.get_num_threads()
    try:
        environment = {**host_record(), "devices": {"cpu": _cpu(threads)}}
        header = Header(asked.name, asked.setting, asked.arms, asked.corpus.record(), environment)
        with open_record(folder, header, resume=resume) as record:
            _go(asked, record, telling)
    finally:
        torch.set_num_threads(before)


def _cpu(threads: int) -> dict[str, object]:
    """The record of the CPU, with torch's threads set."""
    torch.set_num_threads(threads)
    return device_here("cpu").to_dict()


def _go(asked: Experiment, record: Record, telling: Telling) -> None:
    arms = arms_named(asked.arms)
    trials = expected(asked.name, asked.setting, arms, record.rows)
    telling.planned(trials, [trial for trial in trials if is_over(trial, record.rows)])
    for trial in planned(asked.name, asked.setting, arms, record.rows):
        kept = record.checkpoint(trial)
        needed = trial.phase == "dense" and not kept.exists()
        if is_over(trial, record.rows) and not needed:
            continue
        telling.started(trial)
        told = _trained(asked, record, trial, partial(telling.stepped, trial))
        if trial.phase != "dense":
            kept.unlink(missing_ok=True)
        telling.ended(trial, told)


def _trained(asked: Experiment, record: Record, trial: Trial, tell: Callable[[int], None]) -> str:
    """Train one trial to its end; its loss, or why it has none."""
    model = _model(asked.setting, record, trial)
    training = Training(trial, asked.setting, asked.corpus, model, tell)
    try:
        training.run(record.checkpoint(trial), record.rows, record.append)
    except CaseError as error:
        tokens = trial.steps * asked.setting.tokens_per_step
        row = row_of(trial, trial.steps, tokens, status=error.status, reason=str(error))
        record.append(row)
        return row.reason
    last = [row for key, row in record.rows.items() if key.startswith(f"{trial.key} ")][-1]
    return f"{trial.part} loss {last.loss}"


def _model(setting: Setting, record: Record, trial: Trial) -> Decoder:
    """The model that a trial starts with."""
    torch.manual_seed(trial.seed)
    if not trial.start:
        return Decoder(setting, trial.kind)
    model = Decoder(setting, ARMS[DENSE])
    dense = Trial("dense", DENSE, trial.rate, trial.factor, trial.seed, setting.steps)
    if not read_weights(record.checkpoint(dense), model):
        raise CaseError("error", f"{record.checkpoint(dense)} cannot be read")
    return model if trial.start == "dense" else converted(model, trial.kind.nm, trial.start)


def converted(model: Decoder, nm: int, start: str) -> Decoder:
    """The same model with MGLU blocks that start from its dense ones."""
    for block in model.blocks:
        mlp = block.mlp
        assert isinstance(mlp, DenseMLP)
        assert mlp.mglu.up_proj is not None
        dense = Dense(mlp.mglu.gate_proj, mlp.mglu.up_proj, mlp.down_proj, "silu")
        # What nn.Linear draws weights with.
        std = 1 / math.sqrt(3 * dense.gate.in_features)
        block.mlp = started(dense, SwapConfig(nm=nm, mode=start), std)
    return model
