"""``flash_mglu``: the Masked Gated Linear Unit as a torch operator, for use outside the benchmark.

Two lines from an ``nn.Linear`` weight and masks to a result::

    packed = pack_weight(weight, masks)
    y = flash_mglu(x, packed, activation="silu")

On a CPU it runs the kernel of ``mglu-numba-cpu``, on a GPU that of ``flash-mglu-mma`` or ``flash-mglu-bulk``: whichever
``mglubench tune`` found faster for the shape, the former where nothing was tuned (compiled by nvcc at the first call,
so call it once before capturing a graph). It is registered as a custom operator, so ``torch.compile`` takes it without
a graph break. Inference only: there is no backward pass. Source of the layer: arXiv 2506.23225, section 3. Importing
this module imports torch.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from mglubench.cases.vocabulary import ACTIVATIONS, ITEMSIZE, NM_MAX, SAME, activation_name, weights_name
from mglubench.errors import UsageError
from mglubench.kernels import cpu_call, cuda_call
from mglubench.kernels.accepted_nm import in_words
from mglubench.kernels.cuda_catalogue import SHIPPED
from mglubench.kernels.on_device import dtype_of, pad_columns
from mglubench.kernels.operator_backends import BACKENDS, coded_weight, why_no_dtype, why_no_format
from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.masks import pack
from mglubench.nn.dense_path import by_products, copies_of_lanes, many_on_cpu

# What the kernels load at once, in bytes.
ALIGNMENT = 16


@dataclass(frozen=True)
class PackedWeight:
    """A weight matrix and its masks in the order that the kernel of their device reads.

    Attributes:
        weight: [d, columns], rows padded with zeros; the given weight itself where it needs no padding. Of a format,
            uint8: codes and scales of each row [d, bytes], on CUDA of tiles of 16 rows.
        masks: uint8 [bytes], nm bits per element of the padded matrix. nm: number of masks.
        h: hidden size, columns of the weight before padding. weights: format of the weight. rows: d, where the weight
            lies in tiles.
    """

    weight: torch.Tensor
    masks: torch.Tensor
    nm: int
    h: int
    weights: str = SAME
    rows: int = 0
    _calls: dict[str, cpu_call.CpuCall] = field(default_factory=dict, init=False, repr=False, compare=False)

    def on_cpu(self, activation: str) -> cpu_call.CpuCall:
        """``call(x, y)`` of the CPU kernel over these weights, made once and kept."""
        found = self._calls.get(activation)
        if found is None:
            found = self._calls[activation] = cpu_call.mglu_call(
                self.weight, self.masks, self.nm, activation, weights=self.weights
            )
        return found

    def __getstate__(self) -> dict[str, object]:
        # A copy has weights of its own.
        return {**self.__dict__, "_calls": {}}

    @property
    def d(self) -> int:
        """Intermediate size, rows of the weight."""
        return self.rows or self.weight.shape[0]


def pack_weight(weight: torch.Tensor, masks: torch.Tensor, weights: str = SAME) -> PackedWeight:
    """Pack once per layer, on the device where it will run.

    A contiguous weight whose rows need no padding is not copied: a model may go on using it, for prefill say.

    Args:
        weight: [d, h], as ``nn.Linear`` stores it: float32, bfloat16 or float16 on a CPU, the latter two on CUDA; any
            of them where it is quantised.
        masks: [nm, d, h], boolean or 0 and 1; True sends an element to the gate. nm is 1 to 16 (on CUDA 1 to 8, or 16).
        weights: format to quantise W to, ``int8``, ``int4``, ``fp8-e4m3`` (of GPUs on compute capability 8.9 and newer)
            or ``mxfp4``; ``same`` does not.

    Raises:
        UsageError: shapes, dtype, device, nm or format that no kernel takes, weights that a format has no codes for.
    """
    weights = weights_name(weights)
    kind = weight.device.type
    if kind not in BACKENDS:
        raise UsageError(f"no kernel for device {kind!r}; move the weight to cpu or cuda")
    backend = BACKENDS[kind]
    if weight.ndim != 2 or masks.ndim != 3 or masks.shape[1:] != weight.shape:
        raise UsageError(
            f"weight must be [d, h] and masks [nm, d, h], got {list(weight.shape)} and {list(masks.shape)}"
        )
    taken = backend.dtypes if weights == SAME else tuple(ITEMSIZE)
    if dtype_of(weight) not in taken:
        raise UsageError(f"dtype {dtype_of(weight)} is not among {', '.join(taken)} on {kind}")
    nm = masks.shape[0]
    if 1 <= nm <= NM_MAX and nm not in backend.nms:
        raise UsageError(f"nm={nm} is not among {in_words(backend.nms)} on {kind}")
    if reason := why_no_format(weights, kind):
        raise UsageError(reason)
    packed = torch.from_numpy(pack(masks.detach().cpu().numpy(), backend.layout).data)
    if weights != SAME:
        return with_codes(FORMATS[weights].quantise(weight.cpu()), packed, nm, weight.device)
    return with_masks(weight, packed.to(weight.device), nm)


def with_masks(weight: torch.Tensor, packed: torch.Tensor, nm: int) -> PackedWeight:
    """As :func:`pack_weight` for masks that are packed already, uint8 [bytes] in the layout of the weight's device."""
    padded = pad_columns(weight.detach(), BACKENDS[weight.device.type].row_multiple)
    return PackedWeight(aligned(padded), packed, nm, weight.shape[1])


def with_codes(matrix: Quantised, packed: torch.Tensor, nm: int, device: torch.device) -> PackedWeight:
    """As :func:`pack_weight` for a matrix that is quantised and masks that are packed already, both on the CPU."""
    laid, (d, h) = coded_weight(matrix, device.type), matrix.codes.shape
    return PackedWeight(laid.to(device), packed.to(device), nm, h, matrix.format.name, d)


def aligned(given: torch.Tensor) -> torch.Tensor:
    """The tensor, or a contiguous copy where a kernel could not load 16 bytes at once."""
    given = given.contiguous()
    return given.clone() if given.data_ptr() % ALIGNMENT else given


def flash_mglu(
    x: torch.Tensor, packed: PackedWeight, activation: str = "silu", *, out: torch.Tensor | None = None
) -> torch.Tensor:
    """y = sum_i g(x (M_i * W)^T) * (x ((1 - M_i) * W)^T), summed in fp32 in one pass over W for a few tokens.

    On a CPU in float32 with one mask, 512 tokens and more go through products with masked copies of W instead, made one
    at a time: that is the faster way from there on. With two masks, and in float16, one pass was faster up to the most
    tokens that were tried, 2,048 and 1,024; in bfloat16 products are faster and their sums no longer fp32, so they are
    left to :class:`mglubench.nn.PackedMGLU`. Weights of a format and GPUs were not measured and keep to one pass.

    Args:
        x: [..., h], of the weight's device and dtype; where W is of a format, of any dtype on a CPU, fp16 on CUDA.
        packed: from :func:`pack_weight`.
        activation: g, ``silu``, ``gelu`` (exact) or ``relu``.
        out: where y goes, [..., d], of x's dtype and device, sharing no memory with x; a new tensor if left out. On a
            CPU the kernel writes there, which saves a decoder the allocation; elsewhere y is copied.

    Returns:
        y, [..., d], of x's dtype.

    Raises:
        UsageError: a shape, dtype, device or activation that does not fit.
        MglubenchError: the kernel cannot be built or launched (CUDA).
    """
    if x.shape[-1] != packed.h:
        raise UsageError(f"x must be [..., {packed.h}], got {list(x.shape)}")
    coded = packed.weights != SAME and dtype_of(x) in ITEMSIZE
    if x.device != packed.weight.device or (x.dtype != packed.weight.dtype and not coded):
        raise UsageError(f"x is {x.dtype} on {x.device}, the weight {packed.weight.dtype} on {packed.weight.device}")
    if coded and (reason := why_no_dtype(dtype_of(x), packed.weights, x.device.type)):
        raise UsageError(reason)
    if out is not None and (out.shape != (*x.shape[:-1], packed.d) or out.dtype != x.dtype or out.device != x.device):
        wanted = f"{[*x.shape[:-1], packed.d]} {x.dtype} on {x.device}"
        raise UsageError(f"out must be {wanted}, as x is, got {list(out.shape)} {out.dtype} on {out.device}")
    g = activation if activation in ACTIVATIONS else activation_name(activation)
    tokens = x if x.ndim == 2 else x.reshape(-1, packed.h)
    direct = x.is_cpu and _nobody_asks(x)
    many = direct and many_on_cpu(tokens, packed.nm, packed.weights, rounded=False)
    if direct and not many and out is not None and _nobody_keeps(out):
        packed.on_cpu(g)(tokens, out if out.ndim == 2 else out.view(-1, packed.d))
        # A graph that has kept the tensor complains, instead of going on with what it holds now.
        torch.autograd.graph.increment_version(out)
        return out
    y: torch.Tensor
    if many:
        y = _by_products(tokens, packed.weight, packed.masks, packed.nm, g)
    elif direct:
        y = torch.empty((tokens.shape[0], packed.d), dtype=x.dtype, device=x.device)
        packed.on_cpu(g)(tokens, y)
    else:
        # What compilers and autograd ask of an operator costs more than a small layer's arithmetic: only for them.
        traced = torch.compiler.is_compiling() or (x.requires_grad and torch.is_grad_enabled())
        operator = _operator if traced else _eager
        y = operator(tokens, packed.weight, packed.masks, packed.nm, g, packed.weights, packed.rows)
    y = y if x.ndim == 2 else y.reshape(*x.shape[:-1], packed.d)
    return y if out is None else out.copy_(y)


def _nobody_keeps(out: torch.Tensor) -> bool:
    """Whether a tensor is plain memory, no part of a graph: what is not is written by torch, which knows the rules."""
    return type(out) in _PLAIN and not out.requires_grad and out.is_contiguous() and not out.is_inference()


def _nobody_asks(x: torch.Tensor) -> bool:
    """Whether no compiler, tracer, mode, transform, profiler or autograd wants to see an operator.

    Its dispatch reads code and tables that a layer's weights have pushed out of the caches: 0.1 ms of a call's 2.8.
    """
    if torch.compiler.is_compiling() or type(x) not in _PLAIN or (x.requires_grad and torch.is_grad_enabled()):
        return False
    return not any(asks() for asks in _ASKING)


@torch.no_grad()
def _by_products(x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor, nm: int, activation: str) -> torch.Tensor:
    """As :func:`_on_cpu`."""
    x = torch.nn.functional.pad(x, (0, weight.shape[1] - x.shape[1]))
    return by_products(x, weight, copies_of_lanes(weight, masks, nm), activation)


def _on_cpu(
    x: torch.Tensor,
    weight: torch.Tensor,
    masks: torch.Tensor,
    nm: int,
    activation: str,
    weights: str = SAME,
    rows: int = 0,
) -> torch.Tensor:
    """On a CPU: x [tokens, h], weight [d, columns], masks in layout row-lanes32; y [tokens, d]."""
    if many_on_cpu(x, nm, weights, rounded=False):
        return _by_products(x, weight, masks, nm, activation)
    y = torch.empty((x.shape[0], weight.shape[0]), dtype=x.dtype, device="cpu")
    cpu_call.mglu_call(weight, masks, nm, activation, weights=weights)(x, y)
    return y


def _on_cuda(
    x: torch.Tensor,
    weight: torch.Tensor,
    masks: torch.Tensor,
    nm: int,
    activation: str,
    weights: str = SAME,
    rows: int = 0,
) -> torch.Tensor:
    """On CUDA: masks in layout mma-16x64, on torch's current stream."""
    y = x.new_empty((x.shape[0], rows or weight.shape[0]))
    operands = cuda_call.Operands(weight, x.shape[1], nm, masks, weights=weights, rows=rows)
    cuda_call.enqueue(SHIPPED, operands, x.contiguous(), y, activation)
    return y


def _fake(
    x: torch.Tensor,
    weight: torch.Tensor,
    masks: torch.Tensor,
    nm: int,
    activation: str,
    weights: str = SAME,
    rows: int = 0,
) -> torch.Tensor:
    return x.new_empty((x.shape[0], rows or weight.shape[0]))


_operator = torch.library.custom_op("mglubench::flash_mglu", _on_cpu, mutates_args=(), device_types="cpu")
_operator.register_kernel("cuda")(_on_cuda)
_operator.register_fake(_fake)

# The same without autograd and checks of aliasing: what eager inference calls.
_EAGER = "mglubench::flash_mglu_eager"
torch.library.define(
    _EAGER,
    "(Tensor x, Tensor weight, Tensor masks, int nm, str activation, str weights='same', int rows=0) -> Tensor",
)
torch.library.impl(_EAGER, "cpu", _on_cpu)
torch.library.impl(_EAGER, "cuda", _on_cuda)
torch.library.register_fake(_EAGER, _fake)
_eager = torch.ops.mglubench.flash_mglu_eager.default


_PLAIN = (torch.Tensor, torch.nn.Parameter)


def _asking() -> list[Callable[[], object]]:
    """Who may want to see operators, each as a function that says so; torch keeps some of them to itself."""
    found: list[Callable[[], object]] = [torch.jit.is_tracing]  # type: ignore[attr-defined]
    with contextlib.suppress(ImportError, AttributeError):
        from torch.utils._python_dispatch import is_in_torch_dispatch_mode

        found += [
            is_in_torch_dispatch_mode,
            torch._C._functorch.peek_interpreter_stack,
            torch.autograd._profiler_enabled,  # type: ignore[attr-defined]
        ]
        return found
    # An older or a newer torch that does not tell: the operator is called whenever it might matter.
    return [lambda: True]


_ASKING = _asking()
