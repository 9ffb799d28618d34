"""``flash_mglu``: the Masked Gated Linear Unit as a torch operator, for use outside the benchmark.

Two lines from an ``nn.Linear`` weight and masks to a result::

    packed = pack_weight(weight, masks)
    y = flash_mglu(x, packed, activation="silu")

On a CPU it runs the kernel of ``mglu-numba-cpu``, on a GPU that of ``flash-mglu-mma`` (compiled by nvcc at the first
call, so call it once before capturing a graph). It is registered as a custom operator, so ``torch.compile`` takes it
without a graph break. Inference only: there is no backward pass. Source of the layer: arXiv 2506.23225, section 3.
Importing this module imports torch.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from mglubench.cases.vocabulary import activation_name
from mglubench.errors import UsageError
from mglubench.kernels.on_device import pad_columns
from mglubench.kernels.tuning import Choice, Job
from mglubench.layer.masks import pack, round_up

# What the kernels load at once, in bytes.
ALIGNMENT = 16
# Tokens that one launch of the CUDA kernel takes; more are sliced.
TOKENS_MAX = 16
# Per device kind: mask layout, and the elements that a row of W is padded to a multiple of.
LAYOUTS = {"cpu": ("row-words16", 16), "cuda": ("mma-16x64", 8)}
DTYPES = {"cpu": ("float32", "bfloat16", "float16"), "cuda": ("bfloat16", "float16")}


@dataclass(frozen=True)
class PackedWeight:
    """A weight matrix and its masks in the order that the kernel of their device reads.

    Attributes:
        weight: [d, columns], rows padded with zeros; the given weight itself where it needs no padding.
        masks: uint8 [bytes], nm bits per element of the padded matrix. nm: number of masks.
        h: hidden size, columns of the weight before padding.
    """

    weight: torch.Tensor
    masks: torch.Tensor
    nm: int
    h: int

    @property
    def d(self) -> int:
        """Intermediate size, rows of the weight."""
        return self.weight.shape[0]


def pack_weight(weight: torch.Tensor, masks: torch.Tensor) -> PackedWeight:
    """Pack once per layer, on the device where it will run.

    A contiguous weight whose rows need no padding is not copied: a model may go on using it, for prefill say.

    Args:
        weight: [d, h], as ``nn.Linear`` stores it: float32, bfloat16 or float16 on a CPU, the latter two on CUDA.
        masks: [nm, d, h], boolean or 0 and 1; True sends an element to the gate. nm is 1 to 16 (on CUDA 1 to 8, or 16).

    Raises:
        UsageError: shapes, dtype, device or nm that no kernel takes.
    """
    kind = weight.device.type
    if kind not in LAYOUTS:
        raise UsageError(f"no kernel for device {kind!r}; move the weight to cpu or cuda")
    if weight.ndim != 2 or masks.ndim != 3 or masks.shape[1:] != weight.shape:
        raise UsageError(
            f"weight must be [d, h] and masks [nm, d, h], got {list(weight.shape)} and {list(masks.shape)}"
        )
    if dtype_of(weight) not in DTYPES[kind]:
        raise UsageError(f"dtype {dtype_of(weight)} is not among {', '.join(DTYPES[kind])} on {kind}")
    nm, _, h = masks.shape
    if kind == "cuda" and 8 < nm < 16:
        raise UsageError(f"nm={nm} is not among 1 to 8 and 16 on cuda")
    layout, multiple = LAYOUTS[kind]
    packed = torch.from_numpy(pack(masks.detach().cpu().numpy(), layout).data).to(weight.device)
    padded = pad_columns(weight.detach(), multiple)
    if padded.data_ptr() % ALIGNMENT:
        padded = padded.clone()
    return PackedWeight(padded, packed, nm, h)


def flash_mglu(x: torch.Tensor, packed: PackedWeight, activation: str = "silu") -> torch.Tensor:
    """y = sum_i g(x (M_i * W)^T) * (x ((1 - M_i) * W)^T), summed in fp32 in one pass over W.

    Args:
        x: [..., h], of the weight's dtype and device. packed: from :func:`pack_weight`.
        activation: g, ``silu``, ``gelu`` (exact) or ``relu``.

    Returns:
        y, [..., d], of x's dtype.

    Raises:
        UsageError: a shape, dtype, device or activation that does not fit.
        MglubenchError: the kernel cannot be built or launched (CUDA).
    """
    if x.shape[-1] != packed.h:
        raise UsageError(f"x must be [..., {packed.h}], got {list(x.shape)}")
    if x.dtype != packed.weight.dtype or x.device != packed.weight.device:
        raise UsageError(f"x is {x.dtype} on {x.device}, the weight {packed.weight.dtype} on {packed.weight.device}")
    flat = x.reshape(-1, packed.h)
    y: torch.Tensor = _operator(flat, packed.weight, packed.masks, packed.nm, activation_name(activation))
    return y.reshape(*x.shape[:-1], packed.d)


@torch.library.custom_op("mglubench::flash_mglu", mutates_args=(), device_types="cpu")
def _operator(x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor, nm: int, activation: str) -> torch.Tensor:
    """On a CPU: x [tokens, h], weight [d, columns], masks in layout row-words16; y [tokens, d]."""
    import numba
    import numpy as np

    from mglubench.kernels.cpu_call import mglu_layer
    from mglubench.kernels.numba_cpu_ir import PIECES_PER_THREAD, as_bits, token_tile

    tokens, h = x.shape
    d, columns = weight.shape
    y = torch.empty((tokens, d))
    if tokens == 0:
        return y.to(x.dtype)
    tile = token_tile(nm, tokens)
    padded = torch.zeros((round_up(tokens, tile), columns))
    padded[:tokens, :h] = x
    layer = mglu_layer(nm, tile, dtype_of(weight), activation)
    pieces = min(d, numba.get_num_threads() * PIECES_PER_THREAD)
    layer(as_bits(weight), masks.numpy().view(np.uint16), padded.numpy(), y.numpy(), pieces)
    return y.to(x.dtype)


@_operator.register_kernel("cuda")
def _on_cuda(x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor, nm: int, activation: str) -> torch.Tensor:
    """On CUDA: masks in layout mma-16x64; slices of up to 16 tokens, on torch's current stream."""
    from mglubench.kernels.cuda_library import ACTIVATION_CODES, MgluArgs
    from mglubench.kernels.on_device import gpu_of

    x, gpu = x.contiguous(), gpu_of(x.device)
    (tokens, h), d = x.shape, weight.shape[0]
    y = x.new_empty((tokens, d))
    with torch.cuda.device(x.device):
        stream = torch.cuda.current_stream().cuda_stream
        for start in range(0, tokens, TOKENS_MAX):
            part, out = x[start : start + TOKENS_MAX], y[start : start + TOKENS_MAX]
            job = Job("flash_mglu_mma", h, d, nm, len(part), dtype_of(weight))
            library, choice = _library(job, gpu)
            args = MgluArgs(
                w=weight.data_ptr(),
                masks=masks.data_ptr(),
                x=part.data_ptr(),
                y=out.data_ptr(),
                h=h,
                d=d,
                nm=nm,
                batch=len(part),
                w_row_stride=weight.shape[1],
                activation=ACTIVATION_CODES[activation],
                split_k=choice.split_k,
                sm_count=gpu.sm_count,
            )
            # Zeroed at every call, so that calls on several streams do not meet in one workspace.
            if size := library.workspace_bytes(args):
                workspace = torch.zeros(size, dtype=torch.uint8, device=x.device)
                args.workspace = workspace.data_ptr()
            library.launch(args, stream)
    return y


@_operator.register_fake
def _fake(x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor, nm: int, activation: str) -> torch.Tensor:
    return x.new_empty((x.shape[0], weight.shape[0]))


@cache
def _library(job: Job, gpu: Any) -> tuple[Any, Choice]:
    """The loaded and prepared library for a job on a GPU, and the launch choice that it was built with."""
    from mglubench.kernels.cuda_build import Target, build
    from mglubench.kernels.cuda_heuristics import choose
    from mglubench.kernels.cuda_library import MgluArgs, load

    choice = choose(job, gpu)
    library = load(build(Target(job.kernel, job.nm, job.dtype, gpu.arch, choice.macros)))
    library.prepare(MgluArgs(nm=job.nm, batch=job.batch, h=job.h, d=job.d))
    return library, choice


def dtype_of(tensor: torch.Tensor) -> str:
    """``float16`` for ``torch.float16``."""
    return str(tensor.dtype).removeprefix("torch.")
