"""The arms of an ablation: what stands between two matrices of a feed-forward block, by name.

Costs are counted as the paper does, per token and block of sizes h and d, in units of hd: weights, mask bits, and FLOPs
of a training step (section 4.1: 6 for every matrix product with its backward, 6 + 8 nm for a masked projection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mglubench.cases.vocabulary import one_of

NMS = (1, 2, 4, 8)
ROUTED_NM = 4
KS = (1, 2, 4)
ORDERS = {"softmax-last": "topk-then-softmax", "softmax-first": "softmax-then-topk"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One kind of feed-forward block.

    Attributes:
        kind: ``gelu`` (no gate), ``glu`` (two matrices, SwiGLU) or ``mglu``. nm: masks, 0 without.
        learned: whether masks are trained. masked, top_k, order: of :class:`mglubench.nn.MGLU`.
        narrow: d over the others' d.
    """

    name: str
    kind: str
    nm: int = 0
    learned: bool = True
    masked: str = "both"
    top_k: int | None = None
    order: str = "topk-then-softmax"
    narrow: float = 1.0

    @property
    def has_logits(self) -> bool:
        """Whether there are masks that train."""
        return self.nm > 0 and self.learned

    @property
    def weights(self) -> float:
        """Weights of the block over hd, masks apart."""
        return self.narrow * (3 if self.kind == "glu" else 2)

    @property
    def training_flops(self) -> float:
        """FLOPs of a training step per token, over hd."""
        masks = 8 * self.nm
        return self.narrow * (6 * (2 if self.kind == "glu" else 1) + masks + 6)


def _all_arms() -> list[Arm]:
    dense = [Arm("gelu", "gelu"), Arm("swiglu", "glu")]
    learned = [Arm(f"nm{nm}", "mglu", nm) for nm in NMS]
    fixed = [Arm(f"nm{nm}-fixed", "mglu", nm, learned=False) for nm in NMS]
    others = [
        Arm("tied", "mglu", masked="none"),
        Arm("swiglu-narrow", "glu", narrow=2 / 3),
        *(Arm(f"nm1-{part}-only", "mglu", 1, masked=part) for part in ("gate", "value")),
    ]
    routed = [
        Arm(f"nm{ROUTED_NM}-top{k}-{word}", "mglu", ROUTED_NM, top_k=k, order=order)
        for k in KS
        for word, order in ORDERS.items()
    ]
    return [*dense, *learned, *fixed, *others, *routed]


# In the order in which they are trained; a stage is a comparison that is whole by itself.
ARMS = {arm.name: arm for arm in _all_arms()}
STAGES = (
    ("gelu", "swiglu", *(f"nm{nm}" for nm in NMS)),
    tuple(f"nm{nm}-fixed" for nm in NMS),
    ("tied", "swiglu-narrow", "nm1-gate-only", "nm1-value-only"),
    tuple(name for name, arm in ARMS.items() if arm.top_k),
)


def arms_named(names: Sequence[str]) -> list[Arm]:
    """Arms in the order of :data:`ARMS`, each once.

    Raises:
        UsageError: an unknown name.
    """
    wanted = {one_of(name, ARMS, "arm") for name in names}
    return [arm for name, arm in ARMS.items() if name in wanted]


def staged(arms: Sequence[Arm]) -> list[list[Arm]]:
    """These arms by stage, in order; empty stages are left out."""
    given = {arm.name for arm in arms}
    stages = [[ARMS[name] for name in stage if name in given] for stage in STAGES]
    return [stage for stage in stages if stage]


def why_unmatched(arm: Arm, base: Arm) -> str | None:
    """Why two arms of equal sizes and tokens are not equal in cost; ``None`` if they are."""
    unlike = [
        f"{mine / theirs:.2f} times the {what}"
        for what, mine, theirs in (
            ("weights", arm.weights, base.weights),
            ("training FLOPs", arm.training_flops, base.training_flops),
        )
        if abs(mine / theirs - 1) > 0.01
    ]
    return f"{arm.name} has {' and '.join(unlike)} of {base.name}" if unlike else None
