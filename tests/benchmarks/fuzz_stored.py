"""Damaged stored files at random: ``python -m tests.benchmarks.fuzz_stored [TRIALS] [--seed N] [--only N]``.

One file of a run, a campaign or a notebook is spoilt by byte or by structure; then it is listed, shown and continued.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import odd
from tests.benchmarks.trials import (
    CODE,
    DOUBLED,
    FOLDERS,
    LOST,
    PROCESSES,
    TRACEBACK,
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
TRIALS = 5_000
SWEEP = ["sweep", "--executor", "fake", "--h", "16", "--d", "24", "--nm", "1,2", "--no-ceiling", "--out", "run"]
SWEEP += ["--variants", "lu,swiglu,mglu-naive,mglu-numba-cpu"]
CAMPAIGN = """
device = "cpu"
step = [{ kind = "sweep", name = "cells", shape = ["16x24"], nm = [1], variants = ["lu", "mglu-naive"] },
        { kind = "profile", of = "cells" }, { kind = "doctor" }]
targets = { step = "cells", goal = [{ figure = "vs_naive", shape = "16x24", nm = [1], least = [1.5] }] }
"""
Found = list[tuple[str, str]]
# What is spoilt, how often, and how it is read. ``runs .`` comes first, whatever was spoilt.
RENDER = ["campaign", "campaign.toml", "--render", "--out", "done"]
REPORT = ["report", "run"]
REPEAT = ["repeat", "--of", "run", "other"]
READERS: dict[str, tuple[int, list[list[str]]]] = {
    "run/rows.jsonl": (45, [["report", "run"], [*REPORT, "--markdown", "--all"], [*REPORT, "--json"], REPEAT]),
    "run/run.json": (20, [["report", "run"], ["report", "run", "--csv"], REPEAT]),
    "run/counters.jsonl": (8, [["report", "run", "--json"], ["import", "report.csv", "--run", "run"]]),
    "ceilings.json": (8, [["predict", "--gpu", "H100"], ["report", "run"]]),
    "repeats.json": (4, [["report", "run"]]),
    "tuning.json": (4, [["variants"]]),
    "done/campaign.jsonl": (12, [["campaign", "campaign.toml", "--executor", "fake", "--out", "done"]]),
    "done/doctor.json": (3, [RENDER]),
}
PICTURES = [["plot", "run", "--out", "a.svg"], ["roofline", "run", "--out", "a.png"]]
EXPORTS = [["report", "run", "--export", "a.csv"], ["report", "run", "--export", "a.parquet"]]


def main() -> int:
    """Print what was found; 1 if anything was."""
    return 0 if report("damaged stored files", fuzz(*arguments(__doc__ or "", TRIALS))) else 1


def fuzz(trials: range, seed: int, journal: Journal | None = None) -> Tally:
    """Try so many damages."""
    with_everything_imported()
    return in_forks(trials, seed, prepared, journal=journal)


@contextlib.contextmanager
def prepared() -> Iterator[Trial]:
    """A trial in a room with whole files, which is as before after each."""
    from mglubench.campaign import render_step

    without_work()
    with room() as base:
        # Pictures of a campaign take longer than all the rest; those of a run are drawn.
        render_step.PICTURES = ()
        furnish(base / "work")
        shutil.copytree(base / "work", base / "pattern")

        def trial(number: int, generator: random.Random) -> tuple[Found, list[str]]:
            names = list(READERS)
            name = generator.choices(names, [READERS[name][0] for name in names])[0]
            how = spoil(generator, base / "work" / name)
            found, codes = read_all(generator, base, name)
            found = [(kind, f"{name} ({how}): {words}") for kind, words in found]
            shutil.rmtree(base / "work")
            shutil.copytree(base / "pattern", base / "work")
            os.chdir(base / "work")
            return found, codes

        yield trial


def furnish(work: Path) -> None:
    """Two runs, counters, all notebooks and a campaign that is done."""
    assert call(SWEEP).code == 0
    shutil.copytree(work / "run", work / "other")
    shutil.copy(ROOT / "tests" / "fixtures" / "ncu_details.csv", work / "report.csv")
    keys = [json.loads(line)["key"] for line in (work / "run" / "rows.jsonl").read_text().splitlines()]
    counters = [
        {"key": key, "tool": "ncu", "status": "ok", "figures": {"dram_bytes_read": 1.5e6}, "launches": 1}
        for key in keys[:4]
    ]
    (work / "run" / "counters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in counters))
    rates = {"memory": {"rate": 2e12, "run": "r", "time": "2025-01-02T03:04:05"}}
    devices = {"NVIDIA H100 80GB HBM3": rates, "cpu": rates}
    (work / "ceilings.json").write_text(json.dumps({"version": 1, "devices": devices}))
    spread = {"median": 0.01, "largest": 0.02, "by": {"a": 0.01, "b": 0.02}}
    about = {"run": "r", "time": "2025-01-02T03:04:05", "runs": 12, "modes": ["cold"], "threads": 2}
    both = {"latencies": spread, "ratios": spread, "covered": 23, "intervals": 24}
    (work / "repeats.json").write_text(json.dumps({"version": 1, "devices": {"cpu": {**about, **both}}}))
    choice = {"macros": {"MGLU_WARPS": 4}, "split_k": 2, "median_ns": 1.5}
    (work / "tuning.json").write_text(json.dumps({"version": 1, "choices": {"G/k/8x8/nm1/b1/float16": choice}}))
    (work / "campaign.toml").write_text(CAMPAIGN)
    assert call(["campaign", "campaign.toml", "--executor", "fake", "--out", "done"]).code in (0, 1)
    assert (work / "done" / "campaign.jsonl").exists()


def spoil(generator: random.Random, path: Path) -> str:
    """Spoil a file in some way, and say in which."""
    kind, data = generator.random(), path.read_bytes()
    if kind < 0.03:
        path.unlink()
        place: Callable[[], Any] = generator.choice((path.mkdir, lambda: path.symlink_to(path.name), lambda: None))
        place()
        return "no file"
    if kind < 0.5:
        path.write_bytes(odd.spoilt_bytes(generator, data))
        return "bytes"
    if path.suffix == ".json":
        path.write_text(as_json(generator, odd.spoilt_structure(generator, json.loads(data))))
        return "structure"
    lines = data.decode().splitlines()
    for _ in range(generator.choice((1, 1, 3))):
        at = generator.randrange(len(lines))
        with contextlib.suppress(ValueError):
            lines[at] = as_json(generator, odd.spoilt_structure(generator, json.loads(lines[at])))
    path.write_text("\n".join(lines) + "\n")
    return "structure of lines"


def as_json(generator: random.Random, document: Any) -> str:
    """JSON, sometimes with a name twice."""
    text = json.dumps(document)
    if generator.random() < 0.05 and '"' in text:
        start = text.index('"')
        text = f"{text[:start]}{text[start : text.index(chr(34), start + 1) + 1]}: 0, {text[start:]}"
    return text


def read_all(generator: random.Random, base: Path, name: str) -> tuple[Found, list[str]]:
    """List, show and continue what is there."""
    work = base / "work"
    readers = READERS[name][1]
    if name.startswith("run/") and generator.random() < 0.05:
        readers = generator.choice((PICTURES, EXPORTS))
    lines = [["runs", ".", "--json"], generator.choice(readers)]
    if name == "done/campaign.jsonl" and generator.random() < 0.5:
        lines.append(RENDER)
    found: Found = []
    codes: list[str] = []
    for words in lines:
        before = looked_at(base)
        called = call(words)
        codes.append(f"{words[0]} {called.code}")
        found += judged(called, before, looked_at(base))
    if name.startswith("run/"):
        wrong, code = continued(work / "run", base, spoilt=name)
        found += wrong
        codes.append(f"resume {code}")
    if generator.random() < 0.5:
        found += python_readers(work)
    found += [(FOLDERS, entry) for entry in temporary(base / "tmp")]
    found += [(PROCESSES, str(pid)) for pid in children()]
    return found, codes


def continued(run: Path, base: Path, spoilt: str) -> tuple[Found, int | None]:
    """Continue a spoilt run: rows that were whole are there once, and every case has a row afterwards."""
    from mglubench.results.store import read_rows
    from mglubench.runner.run import LEFTOVERS

    path = run / "rows.jsonl"
    stored = path.read_bytes() if path.is_file() else b""
    whole = (run.with_name("other") / "rows.jsonl").read_bytes().splitlines(keepends=True)
    before = looked_at(base)
    called = call([*SWEEP, "--resume"])
    found = judged(called, before, looked_at(base))
    # A row whose status was made another word is believed: 1 says that one of the rows is somebody's defect.
    if called.code not in (0, 1):
        # A folder in the place of its rows is for a person to clear away; so is a header that is not this sweep's.
        if spoilt == "run/rows.jsonl" and not path.is_dir() and not path.is_symlink():
            found.append((LOST, f"the run cannot be continued: {called.code}, {called.err[-400:]}"))
        return found, called.code
    now = path.read_bytes()
    kept = stored[: stored.rfind(b"\n") + 1]
    if not now.startswith(kept):
        found.append((LOST, "bytes of whole lines were changed"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = Counter((row.key, row.set % LEFTOVERS) for row in read_rows(run))
    lines = {*kept.splitlines(keepends=True)}
    finished = {json.loads(line)["key"] for line in whole if line in lines}
    planned = {json.loads(line)["key"] for line in whole}
    found += [(LOST, key) for key in (finished | planned) - {key for key, _ in counts}]
    # A row whose set was made another number is believed: it is of that set.
    found += [(DOUBLED, f"{key} of set {number}") for (key, number), count in counts.items() if count > 1]
    # A row that was whole must not be measured again.
    again = [json.loads(line)["key"] for line in now[len(kept) :].splitlines()]
    found += [(DOUBLED, f"{key} was measured again") for key in again if key in finished]
    return found, called.code


def python_readers(work: Path) -> Found:
    """What Python's users call: figures, or one of our errors."""
    import mglubench
    from mglubench.errors import MglubenchError
    from mglubench.kernels import tuning
    from mglubench.results import ceilings, repeat_notebook

    found: Found = []
    job = tuning.Job("k", 8, 8, 1, 1, "float16")
    readers: dict[str, Callable[[], Any]] = {
        "load": lambda: mglubench.derive(mglubench.load(work / "run", samples=True)),
        "tuning": lambda: tuning.remembered("G", job),
        "repeats": lambda: (known := repeat_notebook.remembered("cpu")) and known.words(),
        "ceilings": lambda: ceilings.remembered("NVIDIA H100 80GB HBM3"),
    }
    for name, read in readers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except MglubenchError as error:
            if "\n" in str(error):
                found.append((CODE, f"{name}: an error of several lines: {error!r}"))
        except Exception:
            found.append((TRACEBACK, f"{name}: {traceback.format_exc()[-900:]}"))
    return found


if __name__ == "__main__":
    sys.exit(main())
