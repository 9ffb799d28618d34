"""All three fuzzers: ``python -m tests.benchmarks.fuzz [FOLDER [again | tell]]``; in ``make bench``.

With a folder each keeps a journal there (``commands.jsonl``, ``stored.jsonl``, ``kills.jsonl``): a run that was stopped
goes on from it, and ``README.md`` there is written from all three. ``again`` tries only what went wrong, with today's
sources, and keeps that beside; ``tell`` only writes the page. Exit code 1 if anything went wrong.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mglubench.system.files import publish
from tests.benchmarks import fuzz_commands, fuzz_kills, fuzz_stored
from tests.benchmarks.trials import PROMISED, Journal, Tally, report

FUZZERS: dict[str, tuple[str, Callable[[range, int, Journal | None], Tally], int]] = {
    "commands": ("command lines and sweep files", fuzz_commands.fuzz, fuzz_commands.TRIALS),
    "stored": ("damaged stored files", fuzz_stored.fuzz, fuzz_stored.TRIALS),
    "kills": ("kills of sweeps", fuzz_kills.fuzz, fuzz_kills.TRIALS),
}
# A trial of the kills is a sweep that is killed so often.
EACH = {"kills": fuzz_kills.KILLS}
HEAD = """# Fuzz

Made by `python -m tests.benchmarks.fuzz reports/fuzz` (a part of `make bench`) from the journals beside this file, a
line for a batch of trials; do not edit. A trial is known by its number and the seed 0; `--only NUMBER` tries it again.
"""


def main() -> int:
    """Try what was not tried yet and print what was found."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    holds = True
    for name, (title, fuzz, trials) in FUZZERS.items():
        if folder and mode == "again":
            holds = try_again(folder, name) and holds
        elif mode != "tell":
            journal = Journal(folder / f"{name}.jsonl") if folder else None
            holds = report(title, fuzz(range(trials), 0, journal)) and holds
        if folder:
            publish(folder / "README.md", told(folder))
    return 0 if holds else 1


def try_again(folder: Path, name: str) -> bool:
    """Try alone, and keep, each trial that went wrong; whether none does any more."""
    title, fuzz, _ = FUZZERS[name]
    journal, holds = Journal(folder / f"{name}-again.jsonl"), True
    for number in dict.fromkeys(map(_number, _examples(folder, name))):
        first = number * EACH.get(name, 1)
        holds = report(title, fuzz(range(first, first + 1), 0, journal)) and holds
    return holds


def told(folder: Path) -> str:
    """Markdown: what was tried of which sources, and everything that went wrong."""
    lines = [HEAD, f"| what | tried | {' | '.join(PROMISED)} | hours | commits |", "|---" * (len(PROMISED) + 4) + "|"]
    examples, codes = [], []
    for name, (title, _, trials) in FUZZERS.items():
        rows = Journal(folder / f"{name}.jsonl").rows
        each = EACH.get(name, 1)
        tried = each * sum(row["stop"] - row["first"] for row in rows)
        found = sum((Counter(row["found"]) for row in rows), Counter[str]())
        commits = Counter[str]()
        for row in rows:
            commits[row["commit"]] += each * (row["stop"] - row["first"])
        hours = sum(row["seconds"] for row in rows) / 3600
        counts = " | ".join(str(found[kind]) for kind in PROMISED)
        named = ", ".join(f"{commit} ({count:,})" for commit, count in commits.items())
        lines.append(f"| {title} | {tried:,} of {trials:,} | {counts} | {hours:.1f} | {named} |")
        again = {row["first"]: row for row in Journal(folder / f"{name}-again.jsonl").rows}
        for text in _examples(folder, name):
            examples.append(f"- {title}, {_inline(text)}{_since(again.get(_number(text)))}")
        codes.append(f"- {title}: {_ended(rows)}")
    lines += ["", "How the command lines ended (exit codes; a signal's are negative):", "", *codes]
    return "\n".join([*lines, "", "What went wrong:", "", *(examples or ["- nothing"])]) + "\n"


def _examples(folder: Path, name: str) -> list[str]:
    return [text for row in Journal(folder / f"{name}.jsonl").rows for text in row["examples"]]


def _number(example: str) -> int:
    return int(example.removeprefix("trial ").partition(":")[0])


def _since(row: dict[str, Any] | None) -> str:
    """What became of a trial that was tried again."""
    if row is None:
        return "; not tried again"
    return f"; again at {row['commit']}: {'as before' if row['examples'] else 'nothing'}"


def _ended(rows: list[dict[str, Any]]) -> str:
    codes = sum((Counter(row["codes"]) for row in rows), Counter[str]())
    return ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))


def _inline(text: str) -> str:
    return f"`{' '.join(text.replace('`', chr(39)).split())[:300]}`"


if __name__ == "__main__":
    sys.exit(main())
