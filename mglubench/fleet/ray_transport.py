"""Workers as Ray actors, one for each GPU of a cluster, or one for each share of its nodes' cores.

An actor of ``num_gpus=1`` holds its GPU alone among Ray's. One that dies is replaced by another, which waits in Ray's
queue until a device is free: a node that comes back is used again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

import msgspec

from mglubench.errors import UnavailableError, UsageError
from mglubench.fleet.messages import Answer, Event, HowToWork, Order, Told
from mglubench.hardware.visible_cards import device_uuids
from mglubench.system.last_will import LastWill
from mglubench.system.plain_text import plain

# Answers are small and read at once; Ray's own default is a third of the memory.
STORE_BYTES = 256 << 20
LONGEST_REASON = 300
# An actor, or what it was asked; Ray gives them no type.
Handle = Any


class RayTransport:
    """One actor per seat.

    Args:
        how: the actors work. address: of the cluster, ``auto`` or HOST:PORT; empty: a running one, or else one that is
            started here and ends with this. cores: of each CPU worker; 0: a node's all.

    Raises:
        UnavailableError: Ray is not installed. UsageError: no cluster answers, or it has no device of this kind.
    """

    def __init__(self, how: HowToWork, address: str = "", cores: int = 0) -> None:
        try:
            import ray
        except ImportError:
            raise UnavailableError("--executor ray needs Ray; install mglubench[ray]") from None
        self._ray = ray
        self._how = how
        self._actors: dict[str, Handle] = {}
        self._asked: dict[Handle, tuple[str, type[Told] | type[Answer]]] = {}
        self._ours = not ray.is_initialized()
        # Of a cluster that is started here: Ray's own agents would outlive a killed process by a minute.
        self._will = _connect(ray, address) if self._ours else None
        try:
            self._options = _gpu_seats(ray) if how.device == "cuda" else _cpu_seats(ray, cores)
        except BaseException:
            self.close()
            raise

    def seats(self) -> int:
        return len(self._options)

    def start(self, seat: int) -> str:
        from mglubench.fleet.ray_actor import RayWorker

        name = f"{seat}.{len(self._actors)}"
        options = self._options[seat]
        how = self._how
        if how.executor != "fake" and how.device == "cpu":
            how = msgspec.structs.replace(how, cores=int(str(options["num_cpus"])))
        remote = self._ray.remote(RayWorker).options(**options, max_restarts=0, max_task_retries=0)
        actor: Handle = remote.remote(msgspec.json.encode(how))
        self._actors[name] = actor
        self._asked[actor.introduce.remote()] = name, Told
        return name

    def send(self, worker: str, order: Order) -> None:
        self._asked[self._actors[worker].measure.remote(msgspec.json.encode(order))] = worker, Answer

    def events(self, seconds: float) -> Sequence[Event]:
        if not self._asked:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=seconds)
        if ready:
            # Whatever else is there already.
            ready, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        return [self._event(reference) for reference in ready]

    def kill(self, worker: str) -> None:
        self._asked = {reference: asked for reference, asked in self._asked.items() if asked[0] != worker}
        # The actor may be gone, and its node and the cluster with it.
        with suppress(Exception):
            self._ray.kill(self._actors[worker], no_restart=True)

    def close(self) -> None:
        for worker in self._actors:
            self.kill(worker)
        if self._ours:
            self._ray.shutdown()
        if self._will:
            self._will.carry_out()

    def _event(self, reference: Handle) -> Event:
        worker, kind = self._asked.pop(reference)
        try:
            sent: Handle = self._ray.get(reference)
            found = msgspec.json.decode(sent, type=kind)
        except (self._ray.exceptions.RayError, msgspec.DecodeError) as error:
            # An actor whose answer was lost is of no use, and must free its device.
            self.kill(worker)
            return Event(worker, reason=why_lost(error))
        return Event(worker, told=found) if isinstance(found, Told) else Event(worker, answer=found)


def why_lost(error: Exception) -> str:
    """One line on why an actor did not answer: Ray's own words, of which the cause stands in the last lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("because", "died", "full", "Error", "exit"))]
    name = type(error).__name__
    # What the actor met itself comes as RayTaskError(NAME).
    if "ObjectStoreFullError" in name or "OutOfDiskError" in name:
        return plain(f"Ray's object store is full: {lines[0] if lines else name}", LONGEST_REASON)
    return plain(f"{name}: {' '.join(telling[-2:] or lines[-1:])}", LONGEST_REASON)


def _connect(ray: ModuleType, address: str) -> LastWill | None:
    """Join a cluster, or start one, and say what is to become of that; SIGTERM stays this program's business."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        try:
            ray.init(address=address or "auto", **quiet)
            return None
        except ConnectionError as error:
            if address:
                words = plain(str(error).partition("\n")[0], LONGEST_REASON)
                raise UsageError(f"--address {address}: no Ray cluster answers: {words}") from None
            cards, will = len(device_uuids()) or None, LastWill()
            with will.over_what_starts():
                ray.init(num_gpus=cards, include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
            return will
    finally:
        # In another thread no handler can be set, and Ray sets none.
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, handler)


def _gpu_seats(ray: ModuleType) -> list[dict[str, object]]:
    count = int(ray.cluster_resources().get("GPU", 0))
    if not count:
        raise UsageError("the Ray cluster has no GPU; start its nodes with --num-gpus, or take --device cpu")
    return [{"num_gpus": 1, "num_cpus": 0}] * count


def _cpu_seats(ray: ModuleType, cores: int) -> list[dict[str, object]]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    seats: list[dict[str, object]] = []
    for node in ray.nodes():
        there = int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0
        wanted = cores or there
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)
        seats += [{"num_cpus": wanted, "scheduling_strategy": strategy}] * (there // wanted if wanted else 0)
    if not seats:
        raise UsageError(f"no node of the Ray cluster has {cores or 1} cores")
    return seats
