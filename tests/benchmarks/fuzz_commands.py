"""Command lines and sweep files at random: ``python -m tests.benchmarks.fuzz_commands [TRIALS] [--seed N] [--only N]``.

Good ones are spoilt by word, by byte and by structure. Every line runs in a folder of its own, with the fake executor
in the place of the real ones.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import odd
from tests.benchmarks.trials import (
    FOLDERS,
    PROCESSES,
    Journal,
    Tally,
    Trial,
    arguments,
    call,
    children,
    in_forks,
    judged,
    looked_at,
    report,
    room,
    temporary,
    with_everything_imported,
    without_work,
)

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 10_000
FAKE = ["--executor", "fake"]
TINY = ["--h", "16", "--d", "24", "--nm", "1,2"]
CAMPAIGN = """
device = "cpu"

[[step]]
kind = "doctor"

[[step]]
kind = "sweep"
name = "cells"
shape = ["16x24"]
nm = [1, 2]
mode = ["cold", "hot"]
max_seconds = 0.01

[[step]]
kind = "verify"
variants = ["lu"]
nm = [3]

[[step]]
kind = "profile"
of = "cells"
variants = ["lu"]

[[step]]
kind = "aa"
name = "twice"
shape = ["16x24"]
variants = ["lu"]
repeats = 2

[targets]
step = "cells"
variants = ["mglu-numba-cpu"]
goal = [{ figure = "vs_glu", shape = "16x24", nm = [1, 2], least = [1.7, 1.6] }]
"""
SWEEP = """
name = "mine"
shape = ["16x24", "8x8"]
nm = [1, 2]
batch = [1]
dtype = ["float32"]
activation = ["silu"]
mask = ["bernoulli:0.5"]
mode = ["cold"]
variants = ["auto", "-lu"]
device = ["auto"]
seed = 1
target_noise = 0.01
min_samples = 5
max_samples = 20
max_seconds = 0.01
case_timeout = 30
ceiling = false
"""
PINS = """{"format": 1, "rows": [
{"variant": "flash-mglu-mma", "arch": "sm_90a", "nm": 8, "dtype": "float16", "compiler": "13.0.88", "kernel": "k"}
]}
"""
# Good lines, with how often each kind is the start of a trial. Pictures take longest, and come least.
LINES: list[tuple[int, list[str]]] = [
    (30, ["sweep", *FAKE, *TINY, "--out", "fresh"]),
    (8, ["sweep", *FAKE, *TINY, "--out", "run", "--resume"]),
    (4, ["sweep", *FAKE, "--config", "quick", "--max-seconds", "0.01", "--json"]),
    (25, ["sweep", *FAKE, "--config", "spoilt.toml", "--out", "fresh"]),
    (8, ["sweep", *FAKE, *TINY, "--dry-run"]),
    (12, ["campaign", "spoilt-campaign.toml", *FAKE, "--out", "done"]),
    (2, ["campaign", "campaign.toml", "--render", "--out", "done"]),
    (6, ["report", "run", "--export", "a.csv"]),
    (4, ["report", "run", "--json"]),
    (1, ["plot", "run", "--out", "a.svg"]),
    (1, ["roofline", "run", "--out", "a.svg", "--kind", "bandwidth"]),
    (6, ["predict", "--gpu", "RTX 5090", "--shape", "2048x8192", "--nm", "1,8", "--dtype", "float16"]),
    (4, ["runs", "."]),
    (5, ["baseline", "save", "main", "run", "--folder", "kept", "--commit", "c0ffee", "--note", "words"]),
    (2, ["baseline", "list", "--folder", "kept"]),
    (2, ["baseline", "show", "main", "--folder", "kept", "--json"]),
    (3, ["history", "kept"]),
    (6, ["gate", *FAKE, *TINY, "--baseline", "run", "--times", "2", "--out", "fresh", "--json"]),
    (4, ["profile", "run", "--tool", "ncu", *FAKE]),
    (3, ["profile", *FAKE, *TINY, "--tool", "nsys", "--out", "fresh"]),
    (5, ["import", "report.csv", "--run", "run", "--launches", "2", "--json"]),
    (3, ["variants", "--device", "cpu", "--json"]),
    (5, ["verify", *FAKE, "--variants", "lu,mglu-naive", "--nm", "3", "--dtype", "float32", "--out-json", "a.json"]),
    (1, ["doctor", "--json"]),
    (4, ["build", "--arch", "sm_90a", "--variants", "swiglu-fused", "--nm", "1", "--out-json", "a.json"]),
    (4, ["inspect", "flash-mglu-mma", "--arch", "sm_90a", "--nm", "8", "--dtype", "float16", "--json"]),
    (2, ["inspect", "flash-mglu-mma", "--nm", "8", "--save", "pins.json"]),
    (2, ["inspect", "--against", "pins.json", "--markdown"]),
    (5, ["tune", "--variants", "flash-mglu-mma", "--shape", "64x96", "--nm", "1", "--seconds", "0.01"]),
]
# Numbers of samples that are large and allowed would only make a fake sweep as long as was asked for.
LONG = ("--max-samples", "--min-samples", "--max-seconds", "--seconds", "--slice-seconds")


def main() -> int:
    """Print what was found; 1 if anything was."""
    return 0 if report("command lines and sweep files", fuzz(*arguments(__doc__ or "", TRIALS))) else 1


def fuzz(trials: range, seed: int, journal: Journal | None = None) -> Tally:
    """Try so many command lines."""
    with_everything_imported()
    return in_forks(trials, seed, prepared, journal=journal)


@contextlib.contextmanager
def prepared() -> Iterator[Trial]:
    """A trial in a room with a finished run, good and bad files; the room is as before after each."""
    from mglubench.campaign import render_step

    without_work()
    # A line that names no campaign runs the shipped one: hundreds of cells, whose pictures take a minute.
    render_step.PICTURES = ()
    with room() as base:
        work, pattern = base / "work", base / "pattern"
        furnish(work)
        shutil.copytree(work, pattern, symlinks=True, ignore=lambda folder, names: {"socket"} & {*names})
        fresh = looked_at(work)

        def trial(number: int, generator: random.Random) -> tuple[list[tuple[str, str]], list[str]]:
            words = line(generator)
            spoil_files(generator, work, words)
            cuda = generator.random() < 0.2
            if cuda:
                os.environ["MGLUBENCH_FAKE_CUDA"] = "1"
            before = looked_at(base)
            called = call(words)
            found = judged(called, before, looked_at(base))
            os.environ.pop("MGLUBENCH_FAKE_CUDA", None)
            found += [(FOLDERS, f"{words}: {name}") for name in temporary(base / "tmp")]
            found += [(PROCESSES, f"{words}: {pid}") for pid in children()]
            if looked_at(work) != fresh:
                shutil.rmtree(work)
                shutil.copytree(pattern, work, symlinks=True)
                os.chdir(work)
                fresh.clear()
                fresh.update(looked_at(work))
            for left in base.iterdir():
                if left.name not in ("tmp", "work", "pattern"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            return found, [f"{called.code}"]

        yield trial


def furnish(work: Path) -> None:
    """A finished run, a good file of each kind, and what is no file that can be used."""
    assert call(["sweep", *FAKE, *TINY, "--out", "run"]).code == 0
    assert call(["baseline", "save", "old", "run", "--folder", "kept"]).code == 0
    (work / "pins.json").write_text(PINS)
    (work / "file").write_text("kept\n")
    (work / "folder").mkdir()
    (work / "folder" / "kept").write_text("kept\n")
    (work / "locked").write_text("kept\n")
    (work / "locked").chmod(0)
    (work / "empty.toml").write_text("")
    (work / "loop").symlink_to("loop")
    (work / "dangling").symlink_to("nowhere")
    (work / "campaign.toml").write_text(CAMPAIGN)
    (work / "spoilt.toml").write_text(SWEEP)
    (work / "spoilt-campaign.toml").write_text(CAMPAIGN)
    shutil.copy(ROOT / "tests" / "fixtures" / "ncu_details.csv", work / "report.csv")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as door:
        door.bind("socket")


def spoil_files(generator: random.Random, work: Path, words: list[str]) -> None:
    """Spoil the files that a line names, if it names one that is to be spoilt."""
    for name, text in (("spoilt.toml", SWEEP), ("spoilt-campaign.toml", CAMPAIGN)):
        if name in words:
            (work / name).write_bytes(spoilt_toml(generator, text))


def spoilt_toml(generator: random.Random, text: str) -> bytes:
    """A sweep or campaign file, whole or spoilt."""
    kind = generator.random()
    if kind < 0.05:
        return text.encode()
    if kind < 0.5:
        return odd.spoilt_bytes(generator, text.encode())
    return odd.as_toml(odd.spoilt_structure(generator, tomllib.loads(text))).encode()


def line(generator: random.Random) -> list[str]:
    """A command line: a good one, spoilt by word or not at all."""
    weights = [weight for weight, _ in LINES]
    words = [*generator.choices(LINES, weights)[0][1]]
    unspoilt = any(word.startswith("spoilt") for word in words) and generator.random() < 0.7
    for _ in range(0 if unspoilt else generator.choice((0, 1, 1, 1, 2, 3, 6))):
        words = _spoilt(generator, words)
    return words


def _spoilt(generator: random.Random, words: list[str]) -> list[str]:
    if not words:
        return [odd.word(generator)]
    at, kind = generator.randrange(len(words)), generator.random()
    if kind < 0.4:
        values = [k for k in range(1, len(words)) if not words[k].startswith("--") and words[k - 1] not in LONG]
        if values:
            words[generator.choice(values)] = odd.word(generator)
    elif kind < 0.5:
        del words[at]
    elif kind < 0.55:
        words.insert(at, words[at])
    elif kind < 0.65:
        words.insert(generator.randrange(len(words) + 1), odd.word(generator))
    elif kind < 0.75:
        words[at] = odd.near(generator, words[at])
    else:
        words += _option(generator, words[0])
    return words


def _option(generator: random.Random, command: str) -> list[str]:
    """An option of a command, or of another one, with an odd value where it takes one."""
    offered = options()
    name, takes = generator.choice(offered.get(command) or offered[generator.choice(sorted(offered))])
    if name in LONG:
        return [name, generator.choice(("0", "-1", "nan", "x", "", "3", "1e400"))]
    form = f"{name}={odd.word(generator)}" if generator.random() < 0.2 else name
    return [form, odd.word(generator)] if takes and form == name else [form]


_OFFERED: dict[str, list[tuple[str, bool]]] = {}


def options() -> dict[str, list[tuple[str, bool]]]:
    """The options of every command, and whether they take a value."""
    from typer.main import get_command

    from mglubench.cli.app import app

    if not _OFFERED:
        for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
            # A command of commands has its options in those.
            parts = getattr(command, "commands", {"": command}).values()
            named = [p for part in parts for p in part.params if p.param_type_name == "option"]
            offered = [(word, not p.is_flag) for p in named for word in (*p.opts, *p.secondary_opts)]
            # A command may have no options of its own.
            if offered:
                _OFFERED[name] = offered
    return _OFFERED


if __name__ == "__main__":
    sys.exit(main())
