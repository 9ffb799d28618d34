"""How a fleet's driver reaches its workers: start them, give them orders, hear what they did, end them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mglubench.fleet.messages import Event, Order


class Transport(Protocol):
    """Workers have names; one that died is replaced by one of another name in the same seat."""

    def start(self, seat: int) -> str:
        """Start a worker in one of the seats; its name. It will be heard to join or to die."""
        ...

    def seats(self) -> int:
        """How many workers there can be."""
        ...

    def send(self, worker: str, order: Order) -> None:
        """Give it a set to measure; never fails, what goes wrong is heard as its death."""
        ...

    def events(self, seconds: float) -> Sequence[Event]:
        """What has happened; waits so long for something."""
        ...

    def kill(self, worker: str) -> None:
        """End one at once; nothing more is heard of it."""
        ...

    def close(self) -> None:
        """End all, and whatever they started."""
        ...
