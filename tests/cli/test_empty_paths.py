"""An empty path is one line and exit code 2, whatever command it is given to; nothing is written."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest
import typer

import mglubench
from mglubench.cli.app import COMMANDS
from mglubench.errors import UsageError
from tests.conftest import tree


def functions():
    """Every command, those of groups included, by the words that call it."""
    for name, found in COMMANDS.items():
        if isinstance(found, typer.Typer):
            for inner in found.registered_commands:
                yield f"{name} {inner.name or inner.callback.__name__}", inner.callback
        else:
            yield name, found


def paths():
    """Words that give each command's options and arguments that are paths, one at a time."""
    for command, function in functions():
        hints = typing.get_type_hints(function, include_extras=True)
        for name in inspect.signature(function).parameters:
            kind, *about = typing.get_args(hints.get(name, str)) or (str,)
            if "Path" in str(kind) and about:
                option = type(about[0]).__name__ == "OptionInfo"
                yield command, [*command.split(), *(["--" + name.replace("_", "-"), ""] if option else [""])]


FOUND = list(paths())


@pytest.mark.parametrize("words", [w for _, w in FOUND], ids=[" ".join(w) for _, w in FOUND])
def test_an_empty_path_is_refused_and_leaves_nothing(cli, tmp_path, words):
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert "the path is empty" in done.err
    assert tree(tmp_path) == {}


def test_every_command_that_writes_where_it_is_told_is_among_them():
    assert {(command, words[-2] if len(words) > len(command.split()) + 1 else "") for command, words in FOUND} >= {
        *((command, "--out") for command in ("sweep", "repeat", "plot", "roofline", "profile", "campaign")),
        ("report", "--export"),
        ("report", ""),
    }


def test_from_python_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="out is empty"):
        mglubench.sweep(h=8, d=8, out="", executor="fake")
    assert list(Path().iterdir()) == []
