"""A fleet's worker as a Ray actor; messages are JSON. Knows nothing of Ray but how to ask where it is."""

from __future__ import annotations

import msgspec

from mglubench.fleet.fleet_worker import FleetWorker
from mglubench.fleet.messages import HowToWork


class RayWorker:
    """Made into an actor by :mod:`mglubench.fleet.ray_transport`; its first call makes it ready, or fails."""

    def __init__(self, how: bytes) -> None:
        self._how = msgspec.json.decode(how, type=HowToWork)
        self._worker: FleetWorker | None = None

    def introduce(self) -> bytes:
        """Make ready; what the worker says of itself."""
        how = self._how
        if how.executor == "fake":
            how = msgspec.structs.replace(how, pretended=_place())
        self._worker = FleetWorker(how)
        return msgspec.json.encode(self._worker.introduce())

    def measure(self, order: bytes) -> bytes:
        """Measure a set."""
        assert self._worker is not None
        return msgspec.json.encode(self._worker.measure(msgspec.json.decode(order)))


def _place() -> str:
    """What tells this actor's place from all others: the node, and the number of its GPU there."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    gpus = "-".join(str(number) for number in ray.get_gpu_ids())
    return f"fake-{node[:12]}" + (f"-{gpus}" if gpus else "")
