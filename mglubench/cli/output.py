"""Printing: formats, consoles, progress. Data goes to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mglubench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from mglubench.report.table import Table


# Columns of what is no terminal and has no COLUMNS: a log, a pipe.
PIPE_COLUMNS = 200
# What prints tables for people: as many columns as the screen holds, or all of them.
TABLES, WIDE = "rich", "wide"


def chosen_format(
    *,
    as_json: bool = False,
    as_csv: bool = False,
    as_markdown: bool = False,
    as_github: bool = False,
    wide: bool = False,
) -> str:
    """One of ``json``, ``csv``, ``markdown``, ``github``, ``wide``, ``rich``; two at once are an error."""
    offered = {"json": as_json, "csv": as_csv, "markdown": as_markdown, "github": as_github, WIDE: wide}
    names = [name for name, on in offered.items() if on]
    if len(names) > 1:
        raise UsageError(f"choose one of {' and '.join('--' + name for name in names)}")
    return names[0] if names else TABLES


def screen_columns(stream: TextIO) -> int:
    """How many characters a line may have: COLUMNS, else the terminal's, else what a log holds well."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    if not stream.isatty():
        return PIPE_COLUMNS
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def console(*, stderr: bool = False, columns: int | None = None) -> Console:
    """A console that uses colour only on a terminal, with lines of ``columns`` characters or of the screen's."""
    from rich.console import Console

    class PipeConsole(Console):
        """A console that lets the program decide what a closed pipe means; rich would exit with code 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    width = columns or screen_columns(stream)
    # With a height, rich asks nobody else how wide the screen is.
    return PipeConsole(file=stream, highlight=False, soft_wrap=False, width=width, height=25)


def say(line: str) -> None:
    """A line on standard error, which is no data."""
    console(stderr=True).print(line, markup=False, soft_wrap=True)


def print_tables(tables: Sequence[Table], form: str, *, heading: Sequence[str] = (), closing: str = "") -> None:
    """Tables for people, and a paragraph after them: as many columns as the screen holds, all, or ``markdown``."""
    from mglubench.report.fit import fit
    from mglubench.report.render import escaped, to_markdown, to_rich
    from mglubench.report.table import LONGEST_CELL
    from mglubench.system.plain_text import plain

    heading = [plain(line, LONGEST_CELL) for line in heading]
    if form == "markdown":
        sys.stdout.write("".join(f"{line}  \n" for line in heading) + ("\n" if heading else ""))
        sys.stdout.write("\n".join(to_markdown(table) for table in tables))
        sys.stdout.write(f"\n{escaped(closing)}\n" if closing else "")
        return
    screen = screen_columns(sys.stdout)
    fitted = [fit(table, None if form == WIDE else screen) for table in tables]
    out = console(columns=max([screen, *(found.width for found in fitted)]))

    def tell(line: str, style: str = "") -> None:
        out.print(plain(line, LONGEST_CELL), style=style, markup=False, width=screen)

    for line in heading:
        tell(line)
    for table, found in zip(tables, fitted, strict=True):
        out.print()
        tell(table.title, "bold")
        out.print(to_rich(table, found))
        hidden = [f"not shown at {screen} columns: {', '.join(found.hidden)}; --wide shows all"] if found.hidden else []
        notes = [*hidden, *table.notes]
        for note in ["", *notes] if notes else []:
            tell(note, "dim")
    if closing:
        out.print()
        tell(closing)


def print_json(value: Any) -> None:
    """One JSON document; what is not a number is null."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")


def publish_json(value: Any, path: Path | None) -> None:
    """The same document in a file, published by a rename; nothing without a path.

    Raises:
        UsageError: it cannot be written.
    """
    from mglubench.system.files import publish

    if path is None:
        return
    try:
        publish(path, json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None


def refuse_existing(path: Path | None, *, force: bool) -> None:
    """Before any work: what is there stays, unless it may be overwritten.

    Raises:
        UsageError: the file is there, and ``force`` is not given.
    """
    if path is not None and path.is_file() and not force:
        raise UsageError(f"{path} is there already; give another name, or --force to overwrite it")


def publish_page(page: str, path: Path, *, force: bool) -> None:
    """An HTML page in a file, published by a rename, and a line that says so.

    Raises:
        UsageError: the file is there and ``force`` is not given, or it cannot be written.
    """
    from mglubench.system.files import publish

    refuse_existing(path, force=force)
    try:
        publish(path, page)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    console(stderr=True).print(f"wrote {path} ({len(page.encode()) / 1e6:.1f} MB)", markup=False)


def print_csv(frame: pd.DataFrame) -> None:
    """A frame as CSV with a header line."""
    from mglubench.results.frame import with_plain_text

    with_plain_text(frame).to_csv(sys.stdout, index=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
