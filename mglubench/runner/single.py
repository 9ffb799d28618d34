"""One thing measured from Python: a variant by its name, or a plain function that no file declares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.cases.axes import AUTO
from mglubench.cases.config import as_list, merged_spec
from mglubench.errors import UsageError
from mglubench.runner.fleet_request import asked_for
from mglubench.runner.sweep import Option, swept_frame
from mglubench.variants.function import Function, FunctionVariant
from mglubench.variants.plugins import plugin_files
from mglubench.variants.registry import added, check_names, has_masks

if TYPE_CHECKING:
    import pandas as pd


def run(
    variant: str,
    *,
    out: str | Path | None = None,
    plugin: str | Path | Sequence[str | Path] | None = None,
    executor: str = "child",
    **options: Option | None,
) -> pd.Series:
    """Measure one case: ``mglubench.run("mglu-numba-cpu", h=2048, d=8192, nm=4)["latency_us"]``.

    Args:
        variant: its name. out, plugin, executor: as for :func:`~mglubench.runner.sweep.sweep`.
        options: those of a sweep, one value each; ``nm`` is 1 unless given, and no ceiling is measured.

    Returns:
        Its row, as :func:`~mglubench.results.load_run.load` has them, with ``samples_ns`` (nanoseconds). A case that
        failed has a ``status`` and a ``reason``, and no figures.

    Raises:
        UsageError: options of more than one case, or what :func:`~mglubench.runner.sweep.sweep` refuses.
    """
    given: dict[str, Option | None] = {"nm": 1, "ceiling": False, "name": "run", **options, "variants": [variant]}
    fleet = asked_for(executor, given)
    with plugin_files(plugin):
        spec = merged_spec(given, None, check_names)
        if variant == AUTO or variant.startswith("-"):
            raise UsageError(f"{variant!r} is no variant; name one, or use mglubench.sweep")
        if len(cases := spec.cases(has_masks)) != 1:
            raise UsageError(f"these options are {len(cases)} cases; give one value each, or use mglubench.sweep")
        frame = swept_frame(spec, executor, out, fleet=fleet)
    row = frame.iloc[0]
    row.attrs = frame.attrs
    return row


def bench(
    function: Function,
    *,
    layer: str = "glu",
    name: str = "",
    against: str | Sequence[str] = "swiglu",
    out: str | Path | None = None,
    **options: Option | None,
) -> pd.DataFrame:
    """Measure a plain function beside variants: the same problem, the same check against float64, the same rounds.

    Args:
        function: returns y [batch, d] of x [batch, h] and weight [d, h] (``layer="lu"``); of x, weight and
            weight_value [d, h] (``"glu"``); of x, weight and masks [nm, d, h] of booleans (``"mglu"``). Copying what it
            returns into y is part of its time. It must compute the activation of ``options`` (``silu``).
        name: in rows; the function's own unless given. against: variants to measure beside it.
        out: run folder (a fresh one below ``runs``). options: those of :func:`~mglubench.runner.sweep.sweep`.

    Returns:
        As :func:`~mglubench.runner.sweep.sweep`. A function that crashes takes this process along.

    Raises:
        UsageError: a layer that functions cannot be, a name that is taken, an option that does not exist.
    """
    called = name or re.sub(r"[^A-Za-z0-9._]+", "-", getattr(function, "__name__", "")).strip("-") or "function"
    if "variants" in options:
        raise UsageError("bench takes no variants; what to measure beside the function is said by against")
    with added(FunctionVariant(function, called, layer)):
        beside = [str(one) for one in as_list(against, "against")] if against else []
        given: dict[str, Option | None] = {"name": "bench", **options, "variants": [called, *beside]}
        return swept_frame(merged_spec(given, None, check_names), "local", out)
