"""Printing: formats, consoles, progress. Data goes to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglubench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress

    from mglubench.report.table import Table


def chosen_format(*, as_json: bool, as_csv: bool, as_markdown: bool) -> str:
    """One of ``json``, ``csv``, ``markdown``, ``rich``; two at once are an error."""
    wanted = [name for name, on in (("json", as_json), ("csv", as_csv), ("markdown", as_markdown)) if on]
    if len(wanted) > 1:
        raise UsageError(f"choose one of {' and '.join('--' + name for name in wanted)}")
    return wanted[0] if wanted else "rich"


def console(*, stderr: bool = False) -> Console:
    """A console that uses colour only on a terminal, and does not fold tables when piped."""
    from rich.console import Console

    class PipeConsole(Console):
        """A console that lets the program decide what a closed pipe means; rich would exit with code 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    return PipeConsole(file=stream, highlight=False, soft_wrap=False, width=None if stream.isatty() else 200)


def print_tables(tables: Sequence[Table], form: str, *, heading: Sequence[str] = ()) -> None:
    """Tables for people: rich on a terminal, markdown if asked for."""
    from mglubench.report.render import to_markdown, to_rich
    from mglubench.report.table import LONGEST_CELL
    from mglubench.system.plain_text import plain

    heading = [plain(line, LONGEST_CELL) for line in heading]
    if form == "markdown":
        sys.stdout.write("".join(f"{line}  \n" for line in heading) + ("\n" if heading else ""))
        sys.stdout.write("\n".join(to_markdown(table) for table in tables))
        return
    out = console()
    for line in heading:
        out.print(line, markup=False)
    for table in tables:
        out.print(f"\n{plain(table.title, LONGEST_CELL)}", style="bold", markup=False)
        out.print(to_rich(table))
        for note in table.notes:
            out.print(plain(note, LONGEST_CELL), style="dim", markup=False)


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


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[tuple[Progress, Any]]:
    """A bar with count, elapsed time and ETA on standard error; silent where that is not a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    screen = console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        yield progress, progress.add_task(what, total=total)


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
