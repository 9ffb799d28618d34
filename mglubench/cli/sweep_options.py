"""The options of ``mglubench sweep`` that say what to measure, for it and for other commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer
from typer.models import OptionInfo

from mglubench.cases.axes import AXES, Axis
from mglubench.cases.config import INT_KEYS, KNOWN, number_given
from mglubench.cases.sweep_spec import LISTED, PAIRED
from mglubench.cli.help_pages import HOW, WHAT

_SHAPE = "Pairs HxD, such as 2048x8192,4096x14336."
_MODEL = "Shapes of published models, such as llama-3.2-1b,qwen3-8b."

Command = Callable[..., int]


def with_axes(command: Command) -> Command:
    """Give a command that takes ``**given`` an option for every axis, before its own."""
    pairs = [*(_parameter(AXES[name]) for name in PAIRED), _option("shape", _SHAPE), _option("model", _MODEL)]
    return _signed(command, [*pairs, *(_parameter(AXES[name]) for name in LISTED), *_own(command)])


def with_options_of(sweep: Command) -> Callable[[Command], Command]:
    """Give a command that takes ``**given`` the options of ``sweep`` that say what to measure."""

    def decorate(command: Command) -> Command:
        offered = inspect.signature(sweep, eval_str=True).parameters
        return _signed(command, [*_own(command), *(offered[name] for name in (*KNOWN, "config", "plugin"))])

    return decorate


def number(key: str, words: str) -> OptionInfo:
    """The option of a number that says how long or how well is measured; what is none is refused by its key."""
    kind = "INTEGER" if key in INT_KEYS else "FLOAT"
    parser = partial(number_given, key=key)
    option: OptionInfo = typer.Option(parser=parser, metavar=kind, help=words, rich_help_panel=HOW)
    return option


def _parameter(axis: Axis) -> inspect.Parameter:
    kind = "INTEGER" if axis.numeric else "TEXT"
    return _option(axis.given_as, axis.help, kind if axis.single else f"{kind},...")


def _option(name: str, words: str, metavar: str = "TEXT,...") -> inspect.Parameter:
    kind = Annotated[str | None, typer.Option(help=words, metavar=metavar, rich_help_panel=WHAT)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _own(command: Command) -> list[inspect.Parameter]:
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    return [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]


def _signed(command: Command, parameters: list[inspect.Parameter]) -> Command:
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__dict__["__signature__"] = inspect.Signature(keywords, return_annotation=int)
    return command
