"""``swap_mlps``: exchange the gated MLPs of a transformers model for masked ones, told in a report that can undo it.

Everything is decided before anything is changed. Importing this module imports torch, not transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, NoReturn

from torch import nn

from mglubench.cases.vocabulary import ITEMSIZE
from mglubench.errors import UsageError
from mglubench.kernels.on_device import dtype_of
from mglubench.nn.hf_registry import (
    ARCHITECTURES,
    is_candidate,
    parts_of,
    qualified_name,
    why_model_refused,
    why_not_swapped,
)
from mglubench.nn.hf_starts import MaskedMLP, SwapConfig, started

FilterFn = Callable[[str, nn.Module], bool]
FILTERED = "left out by filter_fn"


class Swapped(NamedTuple):
    """An MLP that was exchanged: its name in the model, its type, and the mode."""

    name: str
    was: str
    mode: str


class Kept(NamedTuple):
    """An MLP that was not, and why."""

    name: str
    type_name: str
    reason: str


@dataclass
class Report:
    """What :func:`swap_mlps` did to a model.

    Attributes:
        swapped, kept: every MLP of the model is in one of them.
    """

    swapped: list[Swapped] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    _undo: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def undo(self) -> None:
        """Put the old modules back, with the weights that they had; a second call does nothing."""
        while self._undo:
            self._undo.pop()()

    def __str__(self) -> str:
        lines = [f"{len(self.swapped)} swapped, {len(self.kept)} kept"]
        lines += [f"  {s.name}: {s.was.rpartition('.')[2]} -> {s.mode}" for s in self.swapped]
        lines += [f"  {k.name}: kept, {k.reason}" for k in self.kept]
        return "\n".join(lines)


def swap_mlps(
    model: nn.Module, config: SwapConfig, filter_fn: FilterFn | None = None, *, strict: bool = True
) -> Report:
    """Exchange the MLPs of a model, in place.

    Args:
        config: what for. filter_fn: called with (name, module) of every MLP; false leaves it as it is.
        strict: refuse as a whole if an MLP that the filter lets through cannot be exchanged; else it is kept and told.

    Raises:
        UsageError: nothing to exchange, or ``strict`` and something that cannot be; nothing was changed then.
    """
    kind = type(model).__name__
    if reason := why_model_refused(model):
        raise UsageError(f"no MLP of {kind} can be swapped: {reason}")
    report, found = Report(), _decide(model, config, filter_fn)
    for name, module, why in found:
        if why:
            report.kept.append(Kept(name, qualified_name(module), why))
    refused = [kept for kept in report.kept if kept.reason != FILTERED]
    if strict and refused:
        first = f"{refused[0].name}: {refused[0].reason}"
        raise UsageError(
            f"{len(refused)} MLPs of {kind} cannot be swapped, {first}; strict=False leaves them as they are"
        )
    if len(report.kept) == len(found):
        raise UsageError(f"nothing was swapped in {kind}: {_why_nothing(report.kept)}")
    std = config.std if config.std is not None else getattr(getattr(model, "config", None), "initializer_range", None)
    made: dict[int, MaskedMLP] = {}
    todo = [(name, module) for name, module, why in found if not why]
    for _, module in todo:
        if id(module) not in made:
            made[id(module)] = started(parts_of(module), config, std or 0.02).train(module.training)
    for name, module in todo:
        _exchange(model, name, made[id(module)], report)
        report.swapped.append(Swapped(name, qualified_name(module), config.mode))
    if config.mode == "stand-in" and not config.allow_meaningless:
        _guard(model, list(made.values()), report)
    return report


def _decide(
    model: nn.Module, config: SwapConfig, filter_fn: FilterFn | None
) -> list[tuple[str, nn.Module, str | None]]:
    """Every MLP with the reason that keeps it."""
    found = []
    for name, module in model.named_modules(remove_duplicate=False):
        if name and is_candidate(module) and not isinstance(module, MaskedMLP):
            chosen = filter_fn is None or filter_fn(name, module)
            found.append((name, module, _why_not(name, module, config) if chosen else FILTERED))
    return found


def _why_not(name: str, module: nn.Module, config: SwapConfig) -> str | None:
    """Why this MLP cannot become what ``config`` says."""
    if name.endswith("._orig_mod"):
        return "torch.compile holds it and would go on calling it; swap first and compile then"
    reason = why_not_swapped(module)
    if reason is None and config.mode == "stand-in":
        dtype = dtype_of(parts_of(module).gate.weight)
        return None if dtype in ITEMSIZE else f"a stand-in is of {', '.join(ITEMSIZE)}, not {dtype}; convert the model"
    return reason


def _why_nothing(kept: list[Kept]) -> str:
    if not kept:
        return f"it holds no gated MLP; known are those of {', '.join(ARCHITECTURES)}"
    return f"{kept[0].name}: {kept[0].reason}" + (f", and {len(kept) - 1} more" if len(kept) > 1 else "")


def _exchange(model: nn.Module, name: str, new: nn.Module, report: Report) -> None:
    parent, _, leaf = name.rpartition(".")
    owner = model.get_submodule(parent)
    old = getattr(owner, leaf)
    setattr(owner, leaf, new)
    report._undo.append(lambda: setattr(owner, leaf, old))


def _guard(model: nn.Module, stand_ins: list[MaskedMLP], report: Report) -> None:
    """No state and no text of a model whose outputs mean nothing."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise UsageError(
            "this model holds stand-ins, whose outputs mean nothing: it neither saves nor generates; "
            "undo() the swap, or say allow_meaningless=True"
        )

    for module in stand_ins:
        module.register_state_dict_pre_hook(refuse)  # type: ignore[no-untyped-call]
    # save_pretrained writes a config before it asks for the state.
    for name in ("generate", "save_pretrained"):
        if hasattr(model, name):
            vars(model)[name] = refuse
            report._undo.append(partial(vars(model).__delitem__, name))
