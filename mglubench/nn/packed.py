"""``PackedMGLU``: the layer that serves, from one weight matrix and nm bits an element.

Few tokens go through the packed kernel, :func:`mglubench.flash_mglu`, which reads weight and masks once. Many go
through matrix products with masked copies of W, made one at a time: from some number of tokens on that is faster.
Inference only. Importing this module imports torch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mglubench.cases.vocabulary import ITEMSIZE, SAME, activation_name, one_of, weights_name
from mglubench.errors import UsageError
from mglubench.kernels.cuda_catalogue import ROUTED
from mglubench.kernels.on_device import dtype_of, pad_columns
from mglubench.kernels.operator_backends import BACKENDS, why_no_format
from mglubench.layer.formats.weight_format import WeightFormat
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.masks import pack
from mglubench.nn.dense_path import by_products, many_on_cpu
from mglubench.nn.functional import PackedWeight, flash_mglu, pack_weight, with_codes, with_masks
from mglubench.nn.layer_checks import check_nm, check_operand, check_place, check_shape, not_negative, positive
from mglubench.nn.mask_planes import from_planes, masked_weight
from mglubench.nn.routed import routed_mglu
from mglubench.nn.topk import ORDERS, check, routing

# Tokens up to which the kernel is taken on GPUs, and of a routed layer, with one mask and with more: not measured.
KERNEL_TOKENS, KERNEL_TOKENS_SEVERAL = 256, 512


class PackedMGLU(nn.Module):
    """A masked gated projection for inference; :func:`mglubench.nn.export_packed` makes it from a trained layer.

    The state dict holds ``weight`` [d, h] (of a format uint8 [d, bytes], codes and scales of each row, see
    :mod:`mglubench.layer.formats`), ``mask_planes`` uint8 [nm, d, ceil(h / 8)] (bit j of byte b is column
    8 b + j), and of a routed layer ``router_weight`` [nm, h]; all are buffers. What the kernel of a device reads is
    derived from them at the first call or by :meth:`prepare`, and again after a move, a conversion or a load; where no
    padding is needed it is the weight itself.

    Args:
        h, d, nm, activation, top_k, router: as of :class:`mglubench.nn.MGLU`.
        weights: format of ``weight``, such as ``int8``; ``same`` is the layer's dtype. A routed layer has none.
        kernel_tokens: most tokens of a call that go through the packed kernel; what was measured if ``None``, see
            :data:`mglubench.nn.dense_path.PRODUCTS_FROM`.

    Raises:
        UsageError: a value that no layer of this kind has.
    """

    weight: torch.Tensor
    mask_planes: torch.Tensor
    router_weight: torch.Tensor | None

    def __init__(
        self,
        h: int,
        d: int,
        nm: int = 4,
        *,
        activation: str = "silu",
        top_k: int | None = None,
        router: str = "topk-then-softmax",
        weights: str = SAME,
        kernel_tokens: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.h, self.d, self.nm = positive("h", h), positive("d", d), check_nm(nm)
        self.activation = activation_name(activation)
        check_place(device, dtype, tuple(ITEMSIZE))
        self.kernel_tokens = None if kernel_tokens is None else not_negative("kernel_tokens", kernel_tokens)
        self.top_k, self.order = top_k, one_of(router, ORDERS, "router")
        if top_k is not None:
            check(top_k, nm, router)
        self.weights = weights_name(weights)
        self.format = FORMATS.get(self.weights)
        if self.format is not None and top_k is not None:
            raise UsageError(f"a routed layer has no kernel for weights {weights}; use weights same, or no top_k")
        empty = torch.zeros((d, h), device=device, dtype=dtype)
        if self.format is not None:
            empty = torch.zeros((d, self.format.cpu_row_bytes(h)), device=device, dtype=torch.uint8)
        self.register_buffer("weight", empty)
        planes = torch.zeros((nm, d, -(-h // 8)), device=device, dtype=torch.uint8)
        self.register_buffer("mask_planes", planes)
        gates = None if top_k is None else torch.zeros((nm, h), device=device, dtype=dtype)
        self.register_buffer("router_weight", gates)
        self._kernel: PackedWeight | None = None

    def prepare(self) -> PackedMGLU:
        """Derive what the kernel of this device reads; before ``torch.compile``, which cannot, and to warm up.

        Raises:
            UsageError: a device, dtype or nm that no kernel takes.
        """
        self._check_dtype()
        if self.weight.is_meta:
            raise UsageError("no kernel for device 'meta'; load the weights first")
        if reason := why_no_format(self.weights, self.weight.device.type):
            raise UsageError(reason)
        if self.format is not None:
            self._kernel = self._coded_weight(self.format)
        elif self.router_weight is None:
            self._kernel = pack_weight(self.weight, from_planes(self.mask_planes, self.h))
        elif self._routed_by_kernel():
            self._kernel = self._routed_weight()
        return self

    def _coded_weight(self, form: WeightFormat) -> PackedWeight:
        """Codes and masks as the kernel of this device reads them; on a CPU the codes are the buffer itself."""
        device, layout = self.weight.device, BACKENDS[self.weight.device.type].layout
        masks = torch.from_numpy(pack(self.hard_masks().cpu().numpy(), layout).data)
        if device.type == "cpu":
            return PackedWeight(self.weight, masks, self.nm, self.h, self.weights)
        return with_codes(form.from_cpu_rows(self.weight.cpu(), self.h), masks, self.nm, device)

    def _routed_by_kernel(self) -> bool:
        """Whether a kernel takes a routed layer of this kind here; elsewhere it goes through products."""
        on_cuda = self.weight.is_cuda and self.nm in ROUTED.nms and dtype_of(self.weight) in ROUTED.dtypes
        return self.weight.is_cpu or on_cuda

    def _routed_weight(self) -> PackedWeight:
        """W and planes as :func:`mglubench.nn.routed.routed_mglu` reads them."""
        if self.weight.is_cpu:
            planes = functional.pad(self.mask_planes, (0, self.mask_planes.shape[-1] % 2))
            return PackedWeight(pad_columns(self.weight, 16), planes, self.nm, self.h)
        packed = torch.from_numpy(pack(self.hard_masks().cpu().numpy(), ROUTED.layout).data)
        return with_masks(self.weight, packed.to(self.weight.device), self.nm)

    def hard_masks(self) -> torch.Tensor:
        """The masks as booleans, [nm, d, h]."""
        return from_planes(self.mask_planes, self.h)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Y [..., d] of x [..., h], of the weight's dtype.

        Raises:
            UsageError: a shape, dtype or device of x that does not fit, or an x that requires a gradient.
        """
        if self.format is None:
            check_operand(x, self.weight, self.h)
        else:
            check_shape(x, self.weight, self.h)
        self._check_dtype(x)
        if x.requires_grad and torch.is_grad_enabled():
            raise UsageError(
                "a packed layer has no backward and x requires a gradient; call it under torch.no_grad(), "
                "or train the MGLU that it was exported from"
            )
        flat = x.reshape(-1, self.h)
        weights = self.gate_weights(flat)
        few = self._is_few(flat) and (weights is None or self._routed_by_kernel())
        y = self._by_kernel(flat, weights) if few else self._dense(flat, weights)
        return y.reshape(*x.shape[:-1], self.d)

    def _is_few(self, x: torch.Tensor) -> bool:
        """Whether the packed kernel is taken for so many tokens."""
        if self.kernel_tokens is not None:
            return x.shape[0] <= self.kernel_tokens
        if x.is_cpu and self.top_k is None:
            return not many_on_cpu(x, self.nm, self.weights, rounded=True)
        return x.shape[0] <= (KERNEL_TOKENS if self.nm == 1 else KERNEL_TOKENS_SEVERAL)

    def _by_kernel(self, x: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """One pass over W and the masks, of a routed layer those that some token keeps."""
        if self._kernel is None:
            self.prepare()
        kernel = self._kernel
        assert kernel is not None
        if weights is None:
            return flash_mglu(x, kernel, self.activation)
        return routed_mglu(x, kernel.weight, kernel.masks, weights, self.activation)

    @torch.no_grad()
    def _dense(self, x: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """nm + 1 products."""
        weight = self.full_weight(x.dtype)
        copies = (masked_weight(weight, plane) for plane in self.mask_planes)
        return by_products(x, weight, copies, self.activation, weights)

    def full_weight(self, dtype: torch.dtype) -> torch.Tensor:
        """W [d, h]; of a format what its codes stand for, in ``dtype``."""
        if self.format is None:
            return self.weight
        return self.format.from_cpu_rows(self.weight, self.h).dequantised().to(dtype)

    def gate_weights(self, x: torch.Tensor) -> torch.Tensor | None:
        """A router's weights G [..., nm] for x [..., h], of x's dtype; ``None`` without a router."""
        if self.router_weight is None or self.top_k is None:
            return None
        return routing(functional.linear(x, self.router_weight), self.top_k, self.order).to(x.dtype)

    def _check_dtype(self, x: torch.Tensor | None = None) -> None:
        of = x if self.format is not None else self.weight
        if of is not None and dtype_of(of) not in ITEMSIZE:
            raise UsageError(f"a packed layer is of {', '.join(ITEMSIZE)}, not {dtype_of(of)}; convert it")

    # What the kernel reads is stale after a move, a conversion or a load, and nothing to copy or to store.
    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        self._kernel = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *given):  # type: ignore[no-untyped-def]
        self._kernel = None
        super()._load_from_state_dict(*given)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_kernel": None}

    def extra_repr(self) -> str:
        """Sizes, and the router's."""
        words = f"h={self.h}, d={self.d}, nm={self.nm}, activation={self.activation}, dtype={dtype_of(self.weight)}"
        words += "" if self.format is None else f", weights={self.weights}"
        return words if self.top_k is None else f"{words}, top_k={self.top_k}, order={self.order}"
