"""The options of ``mglubench sweep`` that say what to measure, for it and for other commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable

SPEC_OPTIONS = (
    *("h", "d", "shape", "nm", "batch", "dtype", "activation", "mask", "mode", "variants", "device", "seed", "name"),
    *("target_noise", "min_samples", "max_samples", "max_seconds", "case_timeout", "ceiling"),
)


def with_options_of(sweep: Callable[..., int]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command that takes ``**given`` the options of ``sweep`` that say what to measure."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        offered = inspect.signature(sweep, eval_str=True).parameters
        shared = [offered[name] for name in (*SPEC_OPTIONS, "config")]
        merged = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *shared)]
        command.__dict__["__signature__"] = inspect.Signature(merged, return_annotation=int)
        return command

    return decorate
