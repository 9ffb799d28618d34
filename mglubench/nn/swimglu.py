"""The layer to train: ``SwiMGLU``, ``GeMGLU``, ``ReMGLU`` in place of gate and up projections, ``MGLUMLP`` whole.

    y = sum_i g(x (M_i * W)^T) * (x ((1 - M_i) * W)^T)        i = 1..nm

Source: arXiv 2506.23225, section 3, algorithm 2, appendix B. Importing this module imports torch.
"""

from __future__ import annotations

import math
from typing import ClassVar, TypedDict, Unpack

import torch
from torch import nn

from mglubench.cases.vocabulary import ITEMSIZE, activation_name, one_of
from mglubench.errors import UsageError
from mglubench.nn.layer_checks import check_nm, check_place, check_shape, positive
from mglubench.nn.topk import ORDERS, check, routing, why_untrained
from mglubench.nn.training_forms import FORMS, MASKED, tied

# The paper's logits at the start, so that a step of training can flip them.
LOGIT_STD = 0.01
DTYPES = (*ITEMSIZE, "float64")


class Options(TypedDict, total=False):
    """Keyword arguments of :class:`MGLU`."""

    activation: str | None
    masks: str | torch.Tensor
    masked: str
    top_k: int | None
    router: str
    untrained_router: bool
    form: str
    device: torch.device | str | None
    dtype: torch.dtype | None


class MGLU(nn.Module):
    """A masked gated projection from h to d: one weight matrix, nm one-bit masks.

    Args:
        h, d: sizes of x and y. nm: number of masks, 1 to 16.
        activation: g, ``silu``, ``gelu`` (exact) or ``relu``.
        masks: ``learned`` (logits, a parameter; drawn with standard deviation 0.01), ``fixed`` (random, untrained), or
            a tensor [nm, d, h]: boolean masks stay as they are, floating-point logits are where learning starts.
        masked: what masks apply to: ``both``, ``gate`` or ``value`` alone, ``none`` (then nm is 1).
        top_k: masks that each token keeps, chosen by a router; ``None`` for all, without a router.
        router: order of softmax and choice, ``topk-then-softmax`` or ``softmax-then-topk`` (:mod:`mglubench.nn.topk`).
        untrained_router: whether a router that gets no gradient (one mask, softmax last) may be made.
        form: ``lean`` or ``plain``, the same function and gradients (:mod:`mglubench.nn.training_forms`).

    Attributes:
        weight: [d, h], drawn as ``nn.Linear`` does. masks: [nm, d, h], logits (a parameter; True where positive) or
        booleans (a buffer); ``None`` for ``masked="none"``. router: ``nn.Linear(h, nm, bias=False)``, or ``None``.

    Raises:
        UsageError: a value that no layer of this kind has.
    """

    ACTIVATION: ClassVar[str] = "silu"
    masks: torch.Tensor | None

    def __init__(
        self,
        h: int,
        d: int,
        nm: int = 4,
        *,
        activation: str | None = None,
        masks: str | torch.Tensor = "learned",
        masked: str = "both",
        top_k: int | None = None,
        router: str = "topk-then-softmax",
        untrained_router: bool = False,
        form: str = "lean",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.h, self.d, self.nm = positive("h", h), positive("d", d), _check_nm(nm, masked)
        self.activation = activation_name(self.ACTIVATION if activation is None else activation)
        self.masked, self.form = one_of(masked, MASKED, "masked"), one_of(form, FORMS, "form")
        check_place(device, dtype, DTYPES)
        self.weight = nn.Parameter(torch.empty((d, h), device=device, dtype=dtype))
        drawn = torch.empty((nm, d, h), device=device, dtype=dtype)
        if masked == "none":
            self.register_parameter("masks", None)
        elif isinstance(masks, torch.Tensor):
            self._take(_given(masks, (nm, d, h)).to(device=drawn.device, copy=True), dtype)
        elif one_of(masks, ("learned", "fixed"), "masks") == "learned":
            self.masks = nn.Parameter(drawn)
        else:
            self.register_buffer("masks", torch.empty_like(drawn, dtype=torch.bool))
        self.top_k, self.order = top_k, one_of(router, ORDERS, "router")
        self.router: nn.Linear | None = None
        if top_k is not None:
            _check_routing(top_k, nm, router, masked, untrained_router)
            self.router = nn.Linear(h, nm, bias=False, device=device, dtype=dtype)
        self.reset_parameters(masks=not isinstance(masks, torch.Tensor))

    def _take(self, masks: torch.Tensor, dtype: torch.dtype | None) -> None:
        if masks.dtype == torch.bool:
            self.register_buffer("masks", masks)
        else:
            self.masks = nn.Parameter(masks.to(dtype or self.weight.dtype))

    def reset_parameters(self, *, masks: bool = True) -> None:
        """Draw weight and router as ``nn.Linear`` does, and logits or fixed masks unless ``masks`` is false."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.router is not None:
            self.router.reset_parameters()
        if self.masks is None or not masks:
            return
        with torch.no_grad():
            if self.masks.dtype == torch.bool:
                self.masks.bernoulli_(0.5)
            else:
                self.masks.normal_(std=LOGIT_STD)

    def hard_masks(self) -> torch.Tensor:
        """The masks as booleans, [nm, d, h]: True sends an element to the gate.

        Raises:
            UsageError: the layer has none.
        """
        if self.masks is None:
            raise UsageError("a layer with masked='none' has no masks")
        return self.masks.detach() > 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Y [..., d] of x [..., h], of the weight's dtype, or under autocast of autocast's.

        Raises:
            UsageError: a shape, dtype or device of x that does not fit.
        """
        x, weight = self._operands(x)
        flat = x.reshape(-1, self.h)
        if self.masks is None:
            y = tied(flat, weight, self.activation)
        else:
            weights = self.gate_weights(flat)
            y = FORMS[self.form](flat, weight, self.masks, self.activation, self.masked, weights)
        return y.reshape(*x.shape[:-1], self.d)

    def gate_weights(self, x: torch.Tensor) -> torch.Tensor | None:
        """A router's weights G [..., nm] for x [..., h], of x's dtype; ``None`` without a router."""
        if self.router is None or self.top_k is None:
            return None
        return routing(self.router(x), self.top_k, self.order).to(x.dtype)

    def _operands(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """X and W, of one dtype."""
        weight = self.weight
        check_shape(x, weight, self.h)
        kind = x.device.type
        if torch.is_autocast_enabled(kind) and x.is_floating_point() and x.dtype != torch.float64:
            dtype = torch.get_autocast_dtype(kind)
            return x.to(dtype), weight.to(dtype)
        if x.dtype != weight.dtype:
            autocast = " or use torch.autocast" if x.is_floating_point() else ""
            raise UsageError(f"x is {x.dtype}, the layer {weight.dtype}; convert one of them{autocast}")
        return x, weight

    def extra_repr(self) -> str:
        """Sizes, and what is not as usual."""
        masks = "none" if self.masks is None else "fixed" if self.masks.dtype == torch.bool else "learned"
        words = f"h={self.h}, d={self.d}, nm={self.nm}, activation={self.activation}, masks={masks}"
        return words + "".join(
            f", {name}={value}"
            for name, value, usual in (
                ("masked", self.masked, "both"),
                ("top_k", self.top_k, None),
                ("order", self.order, "topk-then-softmax"),
                ("form", self.form, "lean"),
            )
            if value != usual
        )


class SwiMGLU(MGLU):
    """:class:`MGLU` with g = SiLU, the paper's main layer."""


class GeMGLU(MGLU):
    """:class:`MGLU` with g = GELU."""

    ACTIVATION = "gelu"


class ReMGLU(MGLU):
    """:class:`MGLU` with g = ReLU."""

    ACTIVATION = "relu"


class MGLUMLP(nn.Module):
    """A feed-forward block: the masked gated projection from h to d, and a linear one back to h, without biases.

    Args:
        h, d, nm, layer: those of :class:`MGLU`.

    Attributes:
        mglu: the :class:`MGLU`. down_proj: ``nn.Linear(d, h, bias=False)``.
    """

    def __init__(self, h: int, d: int, nm: int = 4, **layer: Unpack[Options]) -> None:
        super().__init__()
        self.mglu = MGLU(h, d, nm, **layer)
        self.down_proj = nn.Linear(d, h, bias=False, device=layer.get("device"), dtype=layer.get("dtype"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., h] to [..., h]."""
        y: torch.Tensor = self.down_proj(self.mglu(x))
        return y


def _check_nm(nm: int, masked: str) -> int:
    if masked == "none" and check_nm(nm) != 1:
        raise UsageError(f"a layer with masked='none' has no masks, so nm must be 1, got {nm}")
    return check_nm(nm)


def _check_routing(top_k: int, nm: int, order: str, masked: str, untrained: bool) -> None:
    check(top_k, nm, order)
    if masked != "both":
        raise UsageError(f"a router chooses among masks of both gate and value; masked={masked!r} has no such choice")
    reason = why_untrained(top_k, nm, order)
    if reason and not untrained:
        raise UsageError(reason)


def _given(masks: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    if tuple(masks.shape) != shape:
        raise UsageError(f"masks must be [nm, d, h] = {list(shape)}, got {list(masks.shape)}")
    if masks.dtype != torch.bool and not masks.dtype.is_floating_point:
        raise UsageError(f"masks must be boolean, or floating-point logits to learn from, got {masks.dtype}")
    if masks.is_floating_point() and masks.isnan().any():
        raise UsageError("masks hold NaN, which says neither gate nor value and never learns; give numbers")
    return masks.detach()
