"""What can be measured here: every registered variant, why one of them cannot run, and what packages offer in vain."""

from __future__ import annotations

from dataclasses import dataclass

from mglubench.system.plain_text import plain
from mglubench.variants.base import Variant
from mglubench.variants.registry import broken_plugins, variants, why_not_here


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant and a kind of device; ``why_unavailable`` is empty where it can run on it."""

    name: str
    layer: str = ""
    backend: str = ""
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    nm_max: int = 0
    batch_max: int = 0
    summary: str = ""
    why_unavailable: str = ""


def offers(kind: str) -> list[Offer]:
    """Every variant in the order of tables, asked whether it can run on this kind of device here; then broken ones."""
    found = [_offer(variant, why_not_here(variant, kind)) for variant in variants().values()]
    return found + [Offer(name, why_unavailable=reason) for name, reason in broken_plugins().items()]


def _offer(variant: Variant, why: str | None) -> Offer:
    return Offer(
        name=variant.name,
        layer=variant.layer,
        backend=variant.backend,
        devices=variant.devices,
        dtypes=variant.dtypes,
        nm_max=variant.nm_max if variant.layer == "mglu" else 0,
        batch_max=variant.batch_max,
        summary=plain(variant.summary),
        why_unavailable=plain(why) if why else "",
    )
