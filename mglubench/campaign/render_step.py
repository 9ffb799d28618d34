"""The last step of a campaign: tables and pictures of every run, and a README.md that leads with the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.campaign import target_tables as tables
from mglubench.campaign.definition import Step
from mglubench.campaign.outcome import Outcome, StepStatus
from mglubench.campaign.step import Bench
from mglubench.campaign.steps_by_session import repeat_names, run_folder
from mglubench.campaign.target_tables import Frames
from mglubench.campaign.unit_rows import ClockedRow, SanitizedRow, TunedRow, VerifiedRow
from mglubench.cases.case import Case
from mglubench.cases.config import CAMPAIGN
from mglubench.errors import MglubenchError
from mglubench.report.render import to_markdown
from mglubench.report.summary import heading, verify_tables
from mglubench.report.table import Table
from mglubench.report.tables import run_tables
from mglubench.results.checked import Checked
from mglubench.results.load_run import load
from mglubench.results.repeats import read_repeats
from mglubench.results.store import HEADER
from mglubench.status import Status
from mglubench.system.files import publish
from mglubench.system.plain_text import plain, text_of
from mglubench.system.strict_json import strict_load

if TYPE_CHECKING:
    import pandas as pd

PICTURES = ("latency.png", "roofline.png", "bandwidth.png")
# Drawn of runs with more than one batch size.
SAVING = "saving.png"
RENDER_SECONDS = 60.0
INDEX = "README.md"
TUNED = {"key": "cell", "status": "status", "choice": "choice", "median_us": "us", "rule_us": "us by rule"}
SANITIZED = {"key": "tool/variant", "status": "status", "reason": "reason", "log": "log"}
DOCTOR = {"what": "what", "status": "status", "detail": "detail"}


def render(bench: Bench, step: Step) -> Outcome:
    """Write tables.md and pictures into every run's folder, and the index."""
    if not bench.slice.starts(RENDER_SECONDS):
        return Outcome(StepStatus.PART, "no time left")
    frames = _frames(bench)
    if not frames:
        return Outcome(StepStatus.FAILED, "there is no run to render")
    problems: list[str] = []
    for name, frame in frames.items():
        bench.say(f"  render {name}")
        problems += _render_run(run_folder(bench.folder, name), frame)
    # The shipped campaign is called so: its name would say the same twice.
    name = "" if bench.campaign.name == CAMPAIGN else f" {bench.campaign.name}"
    title = f"# Campaign{name} on {bench.device.name}"
    parts = [title, "", *_heading(next(iter(frames.values()))), ""]
    parts += _answers(bench, frames, problems)
    parts += ["### Runs", "", *_run_links(bench, frames), ""]
    publish(bench.folder / INDEX, "\n".join(parts))
    reason = f"{len(problems)} tables or pictures could not be made; {problems[0]}" if problems else ""
    return Outcome(StepStatus.FAILED if problems else StepStatus.OK, reason, (INDEX,), len(frames))


def _frames(bench: Bench) -> dict[str, pd.DataFrame]:
    """Derived frames of all sweep steps that have a run."""
    names = [step.name for step in bench.campaign.steps if step.kind == "sweep"]
    folders = {name: run_folder(bench.folder, name) for name in names}
    return {name: load(folder, samples=True) for name, folder in folders.items() if (folder / HEADER).exists()}


def _render_run(folder: Path, frame: pd.DataFrame) -> list[str]:
    """Write one run's tables and pictures; returns what could not be drawn."""
    body = "\n".join(to_markdown(table) for table in run_tables(frame))
    text = "\n".join([*_heading(frame), "", body])
    publish(folder / "tables.md", text)
    if not (frame["status"] == Status.OK).any():
        return []
    problems = []
    batches = tables.batch_table({"": frame}) is not None
    for name in (*PICTURES, SAVING) if batches and PICTURES else PICTURES:
        try:
            _draw(frame, folder / name)
        except (MglubenchError, ValueError) as error:
            problems.append(f"{folder.name}/{name}: {error}")
    return problems


def _draw(frame: pd.DataFrame, path: Path) -> None:
    from mglubench.report.batch_plot import saving_plot
    from mglubench.report.chart import save
    from mglubench.report.plot import latency_plot
    from mglubench.report.roofline import draw

    makers = {"latency": latency_plot, "saving": saving_plot}
    make = makers.get(path.stem)
    save(make(frame) if make else draw(frame, path.stem), path)


def _heading(frame: pd.DataFrame) -> list[str]:
    return [f"{line}  " for line in heading(frame)]


def _answers(bench: Bench, frames: Frames, problems: list[str]) -> Iterator[str]:
    """The campaign's own tables as markdown, answers first; what is damaged is added to the problems."""
    targets = bench.campaign.targets
    for dtype in targets.dtypes or ("",) if targets.goals else ():
        name = _judging(bench, frames, dtype)
        yield to_markdown(tables.targets_table(targets, frames.get(name), name, dtype))
    judging = _judging(bench, frames, "")
    judged = {judging: frames[judging]} if judging in frames else {}
    for table in (tables.batch_table(frames), tables.bulk_table(judged), tables.bulk_summary(frames)):
        if table is not None:
            yield to_markdown(table)
    for step in bench.campaign.steps:
        try:
            shown = _SHOWN.get(step.kind, _nothing)(bench, step, frames)
            yield from [to_markdown(table) for table in shown]
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            problems.append(plain(f"what the step {step.name} has stored is damaged: {text_of(error)}"))
    yield to_markdown(tables.steps_table(list(bench.history.values())))


def _judging(bench: Bench, frames: Frames, dtype: str) -> str:
    """The step whose run has the last word on the targets of a dtype, or of any."""
    targets = bench.campaign.targets
    for name in (targets.step, targets.first):
        if name in frames and (not dtype or dtype in set(frames[name]["dtype"])):
            return name
    return targets.step


def _agree(bench: Bench, step: Step, frames: Frames) -> Iterator[Table]:
    frame = frames.get(step.options["of"])
    clock = bench.rows(f"{step.name}.jsonl", ClockedRow)
    if frame is not None and clock:
        yield tables.agree_table(frame, clock)


def _aa(bench: Bench, step: Step, _: Frames) -> Iterator[Table]:
    folders = [run_folder(bench.folder, name) for name in repeat_names(step)]
    repeats = read_repeats(folder for folder in folders if (folder / HEADER).exists())
    if repeats.latencies:
        yield tables.aa_table(repeats)


def _verify(bench: Bench, step: Step, _: Frames) -> Iterator[Table]:
    rows = bench.rows(f"{step.name}.jsonl", VerifiedRow).values()
    verdicts = [
        Checked(Case.from_dict(row["case"]), Status(row["status"]), row["reason"], row["relative"]) for row in rows
    ]
    if verdicts:
        yield from verify_tables(verdicts)


def _sanitize(bench: Bench, step: Step, _: Frames) -> Iterator[Table]:
    if rows := bench.rows(f"{step.name}.jsonl", SanitizedRow):
        yield tables.rows_table("compute-sanitizer", rows.values(), SANITIZED)


def _tune(bench: Bench, step: Step, _: Frames) -> Iterator[Table]:
    if rows := bench.rows(f"{step.name}.jsonl", TunedRow):
        yield tables.rows_table("Tuned launch choices", rows.values(), TUNED)


def _doctor(bench: Bench, step: Step, _: Frames) -> Iterator[Table]:
    path = bench.folder / f"{step.name}.json"
    if path.exists():
        yield tables.rows_table("Doctor", strict_load(path)["findings"], DOCTOR)


def _nothing(bench: Bench, step: Step, frames: Frames) -> Iterator[Table]:
    return iter(())


_SHOWN: dict[str, Callable[[Bench, Step, Frames], Iterator[Table]]] = {
    "agree": _agree,
    "aa": _aa,
    "verify": _verify,
    "sanitize": _sanitize,
    "tune": _tune,
    "doctor": _doctor,
}


def _run_links(bench: Bench, frames: Frames) -> Sequence[str]:
    lines = []
    for name in frames:
        folder = run_folder(bench.folder, name)
        files = [file for file in ("tables.md", "rows.jsonl", *PICTURES, SAVING) if (folder / file).exists()]
        links = ", ".join(f"[{file}]({bench.relative(folder / file)})" for file in files)
        lines.append(f"- {name}: {links}")
    return lines
