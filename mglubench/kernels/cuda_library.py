"""The C interface of the kernel libraries (``kernels_cuda/launch_abi.h``) through ctypes, every return code checked."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

from mglubench.errors import BuildError, MglubenchError, UnavailableError

ABI_VERSION = 1
ACTIVATION_CODES = {"silu": 0, "gelu": 1, "relu": 2}
ARCH, SHARED_MEMORY = -7, -9
STATUS = {
    -1: "a pointer that the kernel needs is null",
    -2: "h, d or batch is out of range",
    -3: "the library was compiled for another nm",
    -4: "rows of W are not padded to a multiple of 8 elements, or its codes not to whole steps",
    -5: "W, masks or workspace are not aligned to 16 bytes",
    -6: "the activation is unknown to the kernel",
    ARCH: "the kernel needs an sm_90 or newer GPU",
    -8: "the workspace is missing",
    SHARED_MEMORY: "the launch choices ask for more shared memory than a block may have",
}


class MgluArgs(ctypes.Structure):
    """Arguments of a launch; mirrors the C struct of the same name field by field."""

    _fields_ = (
        ("w", ctypes.c_void_p),
        ("w2", ctypes.c_void_p),
        ("masks", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("h", ctypes.c_int32),
        ("d", ctypes.c_int32),
        ("nm", ctypes.c_int32),
        ("batch", ctypes.c_int32),
        ("w_row_stride", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("split_k", ctypes.c_int32),
        ("sm_count", ctypes.c_int32),
    )


class KernelLibrary:
    """A loaded library.

    Args:
        path: what :func:`mglubench.kernels.cuda_build.build` returned.

    Raises:
        BuildError: the file cannot be loaded or speaks another version of the interface.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        try:
            library = ctypes.CDLL(str(path))
            library.mglu_workspace_bytes.restype = ctypes.c_size_t
            library.mglu_mask_layout.restype = library.mglu_weight_format.restype = ctypes.c_char_p
            pointer = ctypes.POINTER(MgluArgs)
            library.mglu_launch.argtypes = (pointer, ctypes.c_void_p)
            library.mglu_prepare.argtypes = (pointer,)
            library.mglu_workspace_bytes.argtypes = (pointer,)
            version = library.mglu_abi_version()
        except (OSError, AttributeError) as error:
            raise BuildError(f"{path} cannot be used as a kernel library: {error}; delete it to build anew") from None
        if version != ABI_VERSION:
            raise BuildError(f"{path} has interface version {version}, this mglubench speaks {ABI_VERSION}")
        self._library = library

    @property
    def weight_format(self) -> str:
        """Name of the format of weights that the kernel reads, ``same`` where they are as x."""
        name: bytes = self._library.mglu_weight_format()
        return name.decode()

    @property
    def mask_layout(self) -> str:
        """Name of the mask layout that the kernel reads, empty for a kernel without masks."""
        name: bytes = self._library.mglu_mask_layout()
        return name.decode()

    def workspace_bytes(self, args: MgluArgs) -> int:
        """Device workspace that a launch with these arguments needs."""
        return int(self._library.mglu_workspace_bytes(ctypes.byref(args)))

    def prepare(self, args: MgluArgs) -> None:
        """One-time set-up on the current device, outside any capture."""
        self._check(self._library.mglu_prepare(ctypes.byref(args)))

    def launch(self, args: MgluArgs, stream: int) -> None:
        """Enqueue on a ``cudaStream_t``."""
        self._check(self._library.mglu_launch(ctypes.byref(args), stream))

    def _check(self, status: int) -> None:
        if status == 0:
            return
        text = f"{self.name}: {describe_status(status)}"
        raise UnavailableError(text) if status in (ARCH, SHARED_MEMORY) else MglubenchError(text)


@cache
def load(path: Path) -> KernelLibrary:
    """The library at ``path``, loaded once per process."""
    return KernelLibrary(path)


def describe_status(status: int) -> str:
    """A return code in words: this interface's own if negative, a ``cudaError_t`` if positive."""
    if status < 0:
        return STATUS.get(status, f"unknown status {status}")
    try:
        import torch

        return f"CUDA error {status}: {torch.cuda.CudaError(status)}"
    except Exception:
        # A CPU build of torch has no CUDA runtime to ask.
        return f"CUDA error {status}"
