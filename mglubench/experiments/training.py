"""The training of one trial: batches, schedule, evaluations, checkpoints. Importing this module imports torch.

A batch follows from the trial's seed and the step alone, and so does what shuffles gradients; a trial that goes on from
a checkpoint therefore does what it would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from mglubench.errors import CaseError
from mglubench.experiments.checkpoint import load_checkpoint, save_checkpoint
from mglubench.experiments.corpus import Corpus
from mglubench.experiments.decoder import masked_layers
from mglubench.experiments.mask_watch import Watch
from mglubench.experiments.setting import Setting
from mglubench.experiments.trial import Row, Trial, row_of
from mglubench.nn.optimiser_groups import parameter_groups
from mglubench.nn.swimglu import MGLU
from mglubench.nn.topk import routing

BETAS, CLIP = (0.9, 0.99), 1.0
# Of a trial's steps the first tenth warms up; the rate ends at a tenth of its peak.
WARM_UP, LAST = 0.1, 0.1
# Windows that an evaluation hands to the model at once.
TEST_BATCH = 64


@dataclass
class Training:
    """A trial under way.

    Attributes:
        model: to be trained, as it is at step 0. tell: is called after every step with how many are done.
    """

    trial: Trial
    setting: Setting
    corpus: Corpus
    model: nn.Module
    tell: Callable[[int], None] = lambda step: None
    _watches: list[Watch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = torch.Generator()
        self._draw.manual_seed(self.trial.seed)
        self._watches = [Watch(layer, self._draw) for layer in masked_layers(self.model)]
        groups = parameter_groups(
            self.model, self.trial.rate, mask_lr_factor=self.trial.factor, weight_decay=self.setting.decay
        )
        self._optimiser = torch.optim.AdamW([dict(group) for group in groups], betas=BETAS)
        if twins := [watch.twin for watch in self._watches if watch.twin is not None]:
            rate = self.trial.rate * self.trial.factor
            self._optimiser.add_param_group({"params": twins, "lr": rate, "weight_decay": 0.0})
        self._peaks = [group["lr"] for group in self._optimiser.param_groups]
        self._trained = [parameter for group in groups for parameter in group["params"]]

    def run(self, checkpoint: Path, done: Container[str], append: Callable[[Row], None]) -> None:
        """Train to the end, from the checkpoint if there is one; rows whose keys are ``done`` are not written again.

        Raises:
            CaseError: the loss is not finite.
        """
        began, losses = time.process_time(), list[float]()
        step = load_checkpoint(checkpoint, self.model, self._optimiser) or 0
        for watch in self._watches:
            watch.mark()
        while True:
            if step % self.setting.every == 0 or step == self.trial.steps:
                row = self._evaluated(step, losses, time.process_time() - began)
                if row.key not in done:
                    append(row)
                losses = []
                if step:
                    save_checkpoint(checkpoint, self.model, self._optimiser, step)
            if step == self.trial.steps:
                return
            losses.append(self._step(step))
            step += 1
            self.tell(step)

    def _step(self, step: int) -> float:
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share_of_peak(step, self.trial.steps)
        tokens = batch(self.corpus.train, self.setting, self.trial.seed, step)
        loss = functional.cross_entropy(self.model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained, CLIP)
        self._draw.manual_seed((self.trial.seed + 1) * 1_000_003 + step)
        for watch in self._watches:
            watch.shuffle()
        self._optimiser.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise CaseError("unstable", f"the loss is {value} at step {step + 1}")
        return value

    @torch.no_grad()
    def _evaluated(self, step: int, losses: list[float], seconds: float) -> Row:
        loss, loads = self._tested()
        if not math.isfinite(loss):
            raise CaseError("unstable", f"the {self.trial.part} loss is {loss} after {step} steps")
        states = [watch.state(load) for watch, load in zip(self._watches, loads, strict=True)]
        for watch in self._watches:
            watch.mark()
        return row_of(
            self.trial,
            step,
            step * self.setting.tokens_per_step,
            loss=loss,
            train_loss=fmean(losses) if losses else None,
            cpu_seconds=seconds,
            masks=states,
        )

    def _tested(self) -> tuple[float, list[list[float]]]:
        """The mean loss over the windows of the part, and by layer what share of their tokens keeps each mask."""
        tokens = windows(self.corpus.part(self.trial.part), self.setting)
        summed = partial(functional.cross_entropy, reduction="sum")
        with kept_masks(masked_layers(self.model)) as kept:
            losses = [
                summed(self.model(some[:, :-1]).flatten(0, 1), some[:, 1:].flatten()).item()
                for some in torch.split(tokens, TEST_BATCH)
            ]
        loads = [[round(float(share), 6) for share in torch.cat(own).mean(0)] if own else [] for own in kept]
        return sum(losses) / tokens[:, 1:].numel(), loads


@contextmanager
def kept_masks(layers: Sequence[MGLU]) -> Iterator[list[list[torch.Tensor]]]:
    """By layer, what its router keeps while this is open: of every call 1 or 0, [tokens, nm]; none without a router."""
    kept: list[list[torch.Tensor]] = [[] for _ in layers]

    def listen(layer: MGLU, own: list[torch.Tensor]) -> RemovableHandle:
        def note(router: nn.Module, x: object, logits: torch.Tensor) -> None:
            own.append((routing(logits, layer.top_k or layer.nm, layer.order) > 0).float())

        assert layer.router is not None
        return layer.router.register_forward_hook(note)

    hooks = [listen(layer, own) for layer, own in zip(layers, kept, strict=True) if layer.router is not None]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def share_of_peak(step: int, steps: int) -> float:
    """The learning rate of a step over its peak: a straight warm-up, then a cosine."""
    warm = max(1, round(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return LAST + (1 - LAST) * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def batch(text: npt.NDArray[np.uint8], setting: Setting, seed: int, step: int) -> torch.Tensor:
    """Bytes [batch, context + 1] from random places; the same for all arms of a seed."""
    starts = np.random.default_rng((seed, step)).integers(0, len(text) - setting.context, setting.batch)
    return _cut(text, starts, setting.context)


def windows(text: npt.NDArray[np.uint8], setting: Setting) -> torch.Tensor:
    """Bytes [windows, context + 1], spread evenly over a part of the text; none starts twice."""
    starts = np.unique(np.linspace(0, len(text) - setting.context - 1, setting.tests).astype(np.int64))
    return _cut(text, starts, setting.context)


def _cut(text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], context: int) -> torch.Tensor:
    return torch.from_numpy(text[starts[:, None] + np.arange(context + 1)].astype(np.int64))
