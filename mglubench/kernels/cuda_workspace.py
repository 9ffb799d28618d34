"""Device memory for the partial sums of launches, kept from call to call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Workspaces:
    """Device memory for partial sums, one piece per call and stream.

    Launches of one stream follow each other, so they may share a piece; those of two streams may overlap. A piece is
    not for another call, even of the same size: where its counters lie depends on the shape, and only they are zero
    again after a launch.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[object, int, int], torch.Tensor] = {}
        self._lock = threading.Lock()

    def of(self, call: object, size: int, device: torch.device, stream: int) -> torch.Tensor | None:
        """A zeroed piece of ``size`` bytes; ``None`` where nothing is needed.

        A capture gets one that its graph owns and zeroes at every replay: graphs captured on one stream may be replayed
        on several.
        """
        import torch

        if size == 0:
            return None
        if torch.cuda.is_current_stream_capturing():
            return torch.zeros(size, dtype=torch.uint8, device=device)
        key = (call, stream, size)
        if (found := self._kept.get(key)) is not None:
            return found
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _in_a_thread(lambda: _zeroed(size, device))
            return self._kept[key]

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()


def _zeroed(size: int, device: torch.device) -> torch.Tensor:
    import torch

    with torch.cuda.device(device):
        made = torch.zeros(size, dtype=torch.uint8, device=device)
        # It was zeroed on another stream than the one that will use it.
        torch.cuda.current_stream(device).synchronize()
    return made


def _in_a_thread(make: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Run ``make`` in a thread of its own.

    A thread that warms up a graph (``torch.compile``'s reduce-overhead does) gets its memory from that graph's pool,
    which must hold nothing that outlives it.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()
