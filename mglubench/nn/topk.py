"""Top-K routing: each token keeps K of nm masks, weighted by a router (arXiv 2506.23225, appendix B.2).

    y = sum over the kept i of G_i(x) g(x (M_i * W)) (x ((1 - M_i) * W)),    G from the logits x Wr^T

The order of softmax and choice is said by name. ``topk-then-softmax`` is the paper's wording: weights of a token sum to
1, and with K = 1 the only weight is 1 whatever the logits are, so that the router gets no gradient.
``softmax-then-topk`` is that of Switch layers: weights are shares of all nm, so that y is about K / nm of the former's
at the start.
Importing this module imports torch.
"""

from __future__ import annotations

import torch

from mglubench.cases.vocabulary import one_of
from mglubench.errors import UsageError

ORDERS = {
    "topk-then-softmax": "softmax over the kept logits, the paper's; K = 1 gives the router no gradient",
    "softmax-then-topk": "softmax over all logits, then the largest are kept, as in Switch",
}


def routing(logits: torch.Tensor, k: int, order: str) -> torch.Tensor:
    """Gate weights [tokens, nm] of logits [tokens, nm]: k of each row are kept, the others are 0. In float32 or wider.

    Raises:
        UsageError: an unknown order, or k outside 1 to nm.
    """
    check(k, logits.shape[-1], order)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    shares = wide.softmax(-1) if order == "softmax-then-topk" else wide
    kept, index = shares.topk(k, dim=-1)
    weights = kept.softmax(-1) if order == "topk-then-softmax" else kept
    return torch.zeros_like(wide).scatter(-1, index, weights)


def check(k: int, nm: int, order: str) -> None:
    """Raise a :class:`UsageError` unless ``k`` of ``nm`` masks can be kept in this order."""
    one_of(order, ORDERS, "router")
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= nm:
        raise UsageError(f"top_k must be 1 to nm = {nm}, got {k!r}")


def why_untrained(k: int, nm: int, order: str) -> str | None:
    """Why a router of this kind gets no gradient; ``None`` if it gets one."""
    if k == 1 and nm > 1 and order == "topk-then-softmax":
        return (
            "top_k=1 with router='topk-then-softmax' weighs the kept mask by 1 whatever its logit is, so the router "
            "gets no gradient; use router='softmax-then-topk' or top_k=2, or say untrained_router=True"
        )
    return None
