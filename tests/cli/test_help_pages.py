"""Help pages: options in groups, numbers as numbers, an example that is a command line for every command."""

from __future__ import annotations

import shlex
from dataclasses import fields

import pytest
import typer

from mglubench.cli.app import app
from mglubench.cli.help_pages import EXAMPLES
from mglubench.experiments.setting import Setting

PROGRAM = typer.main.get_command(app)


def commands(group, words=()):
    """Every command with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


ALL = dict(commands(PROGRAM))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_an_example_in_its_help(cli, words):
    result = cli(*words, "--help")
    assert result.code == 0
    examples = EXAMPLES[" ".join(words)]
    assert examples
    assert all(line in result.out for line in examples)


@pytest.mark.parametrize("line", [line for examples in EXAMPLES.values() for line in examples])
def test_an_example_is_a_command_line_that_parses(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    assert words[0] == "mglubench"
    length = 2 if tuple(words[1:3]) in ALL else 1
    command = ALL[tuple(words[1 : 1 + length])]
    # What `last` stands for is looked up when options are read.
    given = ["run" if word == "last" else word for word in words[1 + length :]]
    assert command.make_context(words[1], given).params


def test_numbers_are_typed_as_numbers_and_options_grouped(cli):
    out = cli("sweep", "--help").out
    for option, kind in (
        ("--target-noise", "FLOAT"),
        ("--max-seconds", "FLOAT"),
        ("--case-timeout", "FLOAT"),
        ("--min-samples", "INTEGER"),
        ("--max-samples", "INTEGER"),
        ("--rounds", "INTEGER"),
        ("--processes", "INTEGER"),
        ("--seed", "INTEGER"),
        ("--nm", "INTEGER,..."),
        ("--batch", "INTEGER,..."),
        ("--h", "INTEGER,..."),
        ("--dtype", "TEXT,..."),
    ):
        assert f"{option} {kind} " in out, option
    places = [out.index(f"\n{title}:") for title in ("What to measure", "How long and how well", "The run", "Output")]
    assert places[0] < out.index("--nm ") < places[1] < out.index("--rounds ") < places[2]
    assert places[3] < out.index("--json ")


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_lists_of_numbers_are_typed_as_numbers_and_nothing_as_a_python_list(cli, words):
    out = cli(*words, "--help").out
    assert "list[str]" not in out.partition("Options:")[2]
    for option in ("--h", "--d", "--nm", "--batch"):
        for line in out.splitlines():
            assert not line.startswith(f"  {option} ") or " INTEGER" in line, line


@pytest.mark.parametrize("group", [(), ("baseline",), ("experiment",)], ids=str)
def test_a_list_of_commands_says_whole_sentences(cli, group):
    assert "..." not in cli(*group, "--help").out.partition("Commands:")[2]


def test_an_experiment_s_numbers_are_told_with_what_they_are_without(cli):
    out = " ".join(cli("experiment", "ablation", "--help").out.split())
    for item in fields(Setting):
        if item.name != "decay":
            value = getattr(Setting(), item.name)
            shown = value if isinstance(value, int) else ",".join(f"{one:g}" for one in value)
            told = out.partition(f"--{item.name.replace('_', '-')} ")[2].partition(" --")[0]
            found = told.partition("(default: ")[2].partition(")")[0]
            assert [float(one) for one in found.split(",")] == [float(one) for one in str(shown).split(",")], item.name


def test_a_number_that_is_none_is_refused_by_its_name(cli):
    for option, words in (
        ("--rounds", "rounds must be a whole number, got 'x'"),
        ("--max-seconds", "must be a number"),
    ):
        found = cli("sweep", "--executor", "fake", option, "x")
        assert found.code == 2
        assert words in found.err
        assert found.err.count("\n") == 1
