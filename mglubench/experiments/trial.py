"""One training of one arm, and the row that is stored of each of its evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import msgspec

from mglubench.experiments.arms import ARMS, Arm
from mglubench.status import Status

# What a trial is for: choosing a learning rate, the comparison itself, or a dense model and what becomes of it.
PHASES = ("sweep", "main", "dense", "retrain")
# Of trials that choose, so that no trial of the comparison has their batches.
SWEEP_SEED = 1000
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Trial:
    """What makes a training what it is, beside the setting.

    Attributes:
        phase: of :data:`PHASES`. rate: peak learning rate. factor: of mask logits over it. seed: of weights, batches.
        start: of a retraining, what becomes of the dense blocks (a mode of ``mglubench.nn.hf_starts``, or ``dense``).
    """

    phase: str
    arm: str
    rate: float
    factor: float
    seed: int
    steps: int
    start: str = ""

    @property
    def kind(self) -> Arm:
        """The arm."""
        return ARMS[self.arm]

    @property
    def part(self) -> str:
        """What it is evaluated on."""
        return "validation" if self.phase == "sweep" else "heldout"

    @property
    def key(self) -> str:
        """Unique in a run."""
        words = [self.phase, self.arm, *filter(None, [self.start]), f"rate={self.rate:g}"]
        if self.kind.has_logits:
            words.append(f"masks={self.factor:g}")
        return " ".join((*words, f"seed={self.seed}"))


class MaskState(msgspec.Struct, frozen=True):
    """What an evaluation finds in the masks of one layer; a twin under shuffled gradients stands beside it.

    Attributes:
        flipped: share of bits that differ from the evaluation before. moved: from the start.
        noise_flipped, noise_moved: the same of the twin; ``None`` for fixed masks.
        gate: share of gate entries, per mask. entropy: of the nm-bit patterns of the weights, bits (at most nm).
        load: share of tokens that keep a mask, of routed layers.
    """

    flipped: Share
    moved: Share
    gate: list[Share]
    entropy: float
    noise_flipped: Share | None = None
    noise_moved: Share | None = None
    load: list[Share] = []


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One evaluation.

    Attributes:
        key: of trial and step. loss: nats per byte on ``part``. train_loss: mean of the steps since the last one.
        cpu_seconds: of this process since it took up the trial. masks: by layer.
    """

    key: str
    status: Status
    reason: str = ""
    phase: str
    arm: str
    start: str = ""
    rate: float
    factor: float
    seed: int
    step: int
    tokens: int
    part: str
    loss: float | None = None
    train_loss: float | None = None
    cpu_seconds: float = 0.0
    masks: list[MaskState] = []

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Inverse of :meth:`to_dict`; raises ValueError with what is wrong, and where."""
        return msgspec.convert(values, cls)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


def row_key(trial: Trial, step: int) -> str:
    """Of the evaluation of a trial after so many steps."""
    return f"{trial.key} step={step}"


def row_of(
    trial: Trial,
    step: int,
    tokens: int,
    *,
    status: Status = Status.OK,
    reason: str = "",
    loss: float | None = None,
    train_loss: float | None = None,
    cpu_seconds: float = 0.0,
    masks: Sequence[MaskState] = (),
) -> Row:
    """What is stored of a trial after so many steps."""
    return Row(
        key=row_key(trial, step),
        status=status,
        reason=reason,
        phase=trial.phase,
        arm=trial.arm,
        start=trial.start,
        rate=trial.rate,
        factor=trial.factor,
        seed=trial.seed,
        step=step,
        tokens=tokens,
        part=trial.part,
        loss=None if loss is None else round(loss, 6),
        train_loss=None if train_loss is None else round(train_loss, 6),
        cpu_seconds=round(cpu_seconds, 2),
        masks=list(masks),
    )
