"""Measure what is promised of the page that ``report --html`` writes. Run by ``make bench`` on a quiet machine.

The page of a run with ten thousand rows opens in less than two seconds: the median over fresh browsers, from the
request to the page's own word that it is drawn. That of the main job has less than 3 MB. ``--picture FILE`` takes the
picture of the README instead. Exit code 1 if a promise does not hold.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from mglubench.report.html.page import run_page
from mglubench.results.frame import load
from mglubench.results.metrics import derive
from tests.benchmarks.reach import MGLUBENCH, promise
from tests.conftest import ROOT
from tests.report.html.browser import running, why_no_browser

MAIN_JOB = ROOT / "reports" / "cpu-main-job"
ROWS = 10_000
OPENINGS = 7
PICTURE = {"x": 0, "y": 0, "width": 1280, "height": 1110}


def main() -> int:
    """Print one line per promise; 1 if any fails."""
    if sys.argv[1:2] == ["--picture"]:
        picture(Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        results = promises(Path(scratch))
    for holds, words in results:
        print(f"{'holds' if holds else 'FAILS'}  {words}")
    return 0 if all(holds for holds, _ in results) else 1


def promises(scratch: Path) -> list[tuple[bool, str]]:
    """Sizes and seconds; without a browser the sizes alone."""
    pages = {"the main job": page_of(MAIN_JOB, scratch / "main.html")}
    results = [promise("page of the main job, MB", pages["the main job"].stat().st_size / 1e6, below=3.0)]
    pages[f"a run of {ROWS} rows"] = big = page_of(big_run(scratch / "big"), scratch / "big.html")
    results.append((True, f"page of a run of {ROWS} rows: {big.stat().st_size / 1e6:.1f} MB (no promise)"))
    if why := why_no_browser():
        return [*results, (False, f"pages were not opened: {why}")]
    for name, page in pages.items():
        times = openings(page)
        spread = f"median of {OPENINGS}, {min(times):.2f} to {max(times):.2f}"
        results.append(promise(f"page of {name} opens, seconds ({spread})", median(times), below=2.0))
    return results


def openings(page: Path) -> list[float]:
    """Seconds from the request to the drawn page, each in a browser of its own."""
    found = []
    for _ in range(OPENINGS):
        with running() as browser, browser.open(page) as opened:
            found.append(float(opened.page.evaluate("performance.getEntriesByName('drawn')[0].startTime")) / 1e3)
            assert opened.said == []
    return found


def page_of(folder: Path, path: Path) -> Path:
    """The page of a run, in a file."""
    path.write_text(run_page(derive(load(folder, samples=True))), encoding="utf-8")
    return path


def big_run(folder: Path) -> Path:
    """A run as a sweep writes it, from one setting of a fake sweep repeated over numbers of tokens."""
    seed = folder.with_name("seed")
    command = [MGLUBENCH, "sweep", "--executor", "fake", "--h", "64", "--d", "96", "--out", str(seed), "--no-ceiling"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = [json.loads(line) for line in (seed / "rows.jsonl").read_text().splitlines()]
    folder.mkdir()
    header = json.loads((seed / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**header, "cases": ROWS}))
    generator = random.Random(0)
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(ROWS):
            row = rows[number % len(rows)]
            tokens = number // len(rows) + 1
            row["key"] = row["key"].replace(f"/b{row['case']['batch']}/", f"/b{tokens}/")
            row["case"]["batch"], row["set"] = tokens, tokens
            row["samples"] = [round(value * generator.uniform(0.98, 1.02)) for value in row["samples"]]
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    return folder


def picture(path: Path) -> None:
    """What the README shows: the head of the main job's page."""
    with tempfile.TemporaryDirectory() as scratch:
        page = page_of(MAIN_JOB, Path(scratch) / "page.html")
        with running() as browser, browser.open(page) as opened:
            opened.page.screenshot(path=path, full_page=True, clip=PICTURE)


if __name__ == "__main__":
    sys.exit(main())
