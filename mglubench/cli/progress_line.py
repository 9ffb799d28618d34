"""What is told while something runs: a line with bar, count and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mglubench.cli.output import console, say, screen_columns

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

# The bar on a screen of eighty columns and more, and on a narrower one.
BAR, NARROW_BAR = 24, 8
MINUTE, HOUR = 60, 3600


def duration_words(seconds: float) -> str:
    """A time as people say it: ``12 seconds``, ``about 3 minutes``, ``about 1 hour 20 minutes``."""
    if seconds < 1.5 * MINUTE:
        return _count(max(1, round(seconds)), "second")
    minutes = round(seconds / MINUTE)
    if minutes < HOUR // MINUTE:
        return f"about {_count(minutes, 'minute')}"
    tens = 10 * round(minutes / 10)
    hours, rest = divmod(tens, 60)
    return f"about {_count(hours, 'hour')}{f' {rest} minutes' if rest else ''}"


def live() -> bool:
    """Whether standard error is a screen whose lines can be written again."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[tuple[Progress, TaskID]]:
    """A bar with count and time left on standard error; silent where that is no terminal.

    Bar, count and time left stay on every screen; what is being done takes the rest of the line. A task whose field
    ``left`` is a number of seconds knows its time left better than its count.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Left(ProgressColumn):
        """The time left, in words."""

        def render(self, task: Task) -> Text:
            seconds = task.fields.get("left") or task.time_remaining
            return Text("time left not known yet" if seconds is None else f"{duration_words(seconds)} left")

    whole = Column(no_wrap=True)
    columns = (
        BarColumn(BAR if screen_columns(sys.stderr) >= 80 else NARROW_BAR, style="dim", complete_style="green"),
        MofNCompleteColumn(table_column=whole),
        Left(table_column=Column(no_wrap=True)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=console(stderr=True), transient=True, disable=not live(), expand=True) as progress:
        yield progress, progress.add_task(what, total=total)


@contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """A function to be called with the name of each part that is done: the bar moves, or a plain line appears."""
    with progress_bar(total, what) as (progress, task):
        done = 0

        def tell(name: str) -> None:
            nonlocal done
            done += 1
            progress.update(task, advance=1, description=name)
            if not live():
                say(f"{what} {done} of {total}: {name}")

        yield tell


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}"
