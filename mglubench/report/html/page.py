"""The page of a run: what its template needs, and the whole as one text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.report.html.answer import FASTER, OPEN, SLOWER, Answer, answers, limits, tally
from mglubench.report.html.inline import ASSETS, LICENCES, STYLE, asset, embedded_json, policy, scripts
from mglubench.report.html.page_data import run_data
from mglubench.report.summary import heading
from mglubench.report.table import LONGEST_CELL, Row, amount, figure, times
from mglubench.report.tables import paper_tables
from mglubench.results.header import Header
from mglubench.results.rows import Plain
from mglubench.system.plain_text import plain

if TYPE_CHECKING:
    import pandas as pd

# Tables beside the paper's, and entries of the first chart.
MOST_PAPER, MOST_ENTRIES = 4, 16


@dataclass(frozen=True, slots=True)
class Lead:
    """What stands on top of a page.

    Attributes:
        sentence: the answer. figure: its number, large. interval: beside it. verdict: ``faster``, ``slower`` or
            ``open``. facts: what it rests on. limits: what limits belief. forest: title of its chart, if it has one.
        entries: points of that chart. own, base: keys of the rows that the page opens with.
    """

    sentence: str
    figure: str = ""
    interval: str = ""
    verdict: str = OPEN
    facts: Sequence[str] = ()
    limits: Sequence[str] = ()
    forest: str = ""
    entries: list[Plain] = field(default_factory=list)
    own: str = ""
    base: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """One part of an environment's record."""

    title: str
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Record:
    """Where and with what a run was made."""

    title: str
    heading: Sequence[str]
    groups: Sequence[Group]


def run_page(frame: pd.DataFrame) -> str:
    """One HTML document of a run, of its derived frame that has the samples."""
    run: Header = frame.attrs["run"]
    rows: list[Row] = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    lead = lead_of(answers(rows))
    data: dict[str, Plain] = {
        "run": run_data(frame),
        "forest": lead.entries,
        "answer": {"own": lead.own, "base": lead.base} if lead.own else None,
    }
    name = Path(run.get("folder", "")).name or run["name"]
    return render(
        title=f"{lead.figure} {lead.sentence}".strip() if lead.own else f"mglubench {name}",
        subtitle=f"run {name}, begun {run['environment']['time'][:16].replace('T', ' ')} UTC",
        warnings=warnings_of(run, rows),
        answer=lead,
        has_rows=any(row["status"] == "ok" for row in rows),
        has_failed=any(row["status"] != "ok" for row in rows),
        samples_words=samples_words(data["run"]),
        latency_notes=latency_notes(),
        paper=paper_tables(frame, MOST_PAPER),
        environments=[record_of("Environment", frame)],
        data=data,
    )


def render(*, data: Mapping[str, Plain], **words: object) -> str:
    """The template with these words, which it escapes, and with the data and the scripts inline."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(ASSETS)
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    texts = scripts()
    return template.get_template("page.html.j2").render(
        **words,
        version=_version(),
        policy=policy(texts),
        style=Markup(asset(STYLE)),
        scripts=[Markup(text) for text in texts],
        licences=asset(LICENCES),
        data=embedded_json(dict(data)),
    )


def lead_of(found: Sequence[Answer]) -> Lead:
    """The answer of a page, for one setting or for several."""
    if not found:
        return Lead("No MGLU and GLU were measured together in this run, so there is no speed-up to tell.")
    if len(found) == 1:
        return _one(found[0])
    return _several(found)


def _one(answer: Answer) -> Lead:
    entries = [_entry(f"nm={row['nm']}  {row['variant']}", row, answer.base) for row in answer.by_nm]
    return Lead(
        sentence=_sentence(answer),
        figure=f"{times(answer.value)}×",
        interval=f"95 % interval {times(answer.low)} to {times(answer.high)}" if math.isfinite(answer.low) else "",
        verdict=answer.verdict,
        facts=[_reached(answer), answer.setting.title()],
        limits=limits(answer),
        forest="Fastest MGLU by number of masks",
        entries=entries,
        own=str(answer.own["key"]),
        base=str(answer.base["key"]),
    )


def _several(found: Sequence[Answer]) -> Lead:
    counts = tally(found)
    best = max(found, key=lambda answer: answer.value)
    least = min(found, key=lambda answer: answer.value)
    rest = ", ".join(
        words.format(counts[word])
        for word, words in ((SLOWER, "slower in {}"), (OPEN, "not to be told apart in {}"))
        if counts[word]
    )
    ordered = sorted(found, key=lambda answer: answer.value)
    shown = ordered if len(found) <= MOST_ENTRIES else [*ordered[: MOST_ENTRIES // 2], *ordered[-MOST_ENTRIES // 2 :]]
    title = "Fastest MGLU over the fastest GLU, by setting"
    return Lead(
        sentence=f"The fastest MGLU is faster than the fastest GLU in {counts[FASTER]} of {len(found)} settings"
        f"{'; it is ' if rest else ''}{rest}.",
        figure=f"{times(least.value)}× to {times(best.value)}×",
        verdict=FASTER if counts[FASTER] == len(found) else SLOWER if counts[SLOWER] == len(found) else OPEN,
        facts=[f"Best: {_sentence(best)} {best.setting.title()}", f"Least: {_sentence(least)} {least.setting.title()}"],
        limits=[f"Best: {words}" for words in limits(best)],
        forest=title
        if len(shown) == len(found)
        else f"{title}: the {len(shown) // 2} least and the {len(shown) // 2} best",
        entries=[_entry(answer.setting.title(), answer.own, answer.base) for answer in reversed(shown)],
        own=str(best.own["key"]),
        base=str(best.base["key"]),
    )


def _sentence(answer: Answer) -> str:
    masks = "1 mask" if answer.own["nm"] == 1 else f"{answer.own['nm']} masks"
    mine, base = f"{answer.own['variant']} with {masks}", f"the fastest GLU, {answer.base['variant']}"
    if answer.verdict == OPEN and math.isfinite(answer.low):
        return f"{mine} cannot be told from {base}: the interval of their ratio holds 1."
    return f"{mine} is {times(answer.value)} times as fast as {base}."


def _reached(answer: Answer) -> str:
    own, base = (f"{amount(row, 'latency_us') / 1e3:,.3g} ms" for row in (answer.own, answer.base))
    share = figure(answer.own, "share_of_ceiling")
    reached = f" It reads at {share:.0%} of the measured ceiling." if share is not None else ""
    return f"{own} against {base}; declared bytes alone would give {times(answer.bytes_alone)}×.{reached}"


def _entry(label: str, own: Row, base: Row) -> Plain:
    bytes_alone = amount(base, "bytes_total") / amount(own, "bytes_total")
    low, high = figure(own, "vs_glu_low"), figure(own, "vs_glu_high")
    return {"label": label, "value": figure(own, "vs_glu"), "low": low, "high": high, "bytes_alone": bytes_alone}


def warnings_of(run: Header, rows: Sequence[Row]) -> list[str]:
    """What a reader must know before any figure: that nothing was measured, that something is missing or unsaved."""
    found = []
    if run.get("fake"):
        found.append("Fake run: these figures come from the fake executor, nothing was measured.")
    if len(rows) < run["cases"]:
        found.append(f"Unfinished: {len(rows)} of {run['cases']} planned cases are here.")
    failed = sum(row["status"] != "ok" for row in rows)
    if failed:
        found.append(f"{failed} of {len(rows)} cases have no figure; they are listed under Not measured.")
    git = run["environment"].get("git")
    if git and git["dirty"]:
        found.append(f"mglubench had changes that are in no commit (on top of {git['commit'][:10]}).")
    return found


def samples_words(data: Plain) -> str:
    """Which samples a page draws."""
    assert isinstance(data, Mapping)
    how = "A short line is the median of its round."
    if data["all_samples"]:
        return f"Every sample that was kept, in the order in which it was taken. {how}"
    return (
        f"This run has {data['sample_count']:,} samples, too many for a page: of each round the least, the quartiles "
        f"and the largest are drawn. {how}"
    )


def latency_notes() -> list[str]:
    """What the columns of the latency table are."""
    return [
        "Latency: median over rounds of the rounds' medians. ± and [ ]: 95 % intervals from the spread between rounds, "
        "between copies of the layer and between processes; of ratios round by round.",
        "Bold: the fastest MGLU of each nm. Ratios are taken within a setting and never across settings.",
    ]


def record_of(title: str, frame: pd.DataFrame) -> Record:
    """A run's environment: its heading, and all of its header by part."""
    run: Header = frame.attrs["run"]
    groups = [Group("Run", _lines({"name": run["name"], "cases": run["cases"], "schema": run["schema"]}))]
    groups += [Group("Sweep", _lines(run["sweep"]))]
    loose: dict[str, object] = {}
    for name, value in run["environment"].items():
        if isinstance(value, Mapping):
            groups += [Group(name, _lines(value))] if value else []
        else:
            loose[name] = value
    groups.insert(1, Group("Machine", _lines(loose)))
    return Record(title, [plain(line, LONGEST_CELL) for line in heading(frame)], groups)


def _lines(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(plain(name), plain(text, LONGEST_CELL)) for name, text in _flat(values, "")]


def _flat(values: Mapping[str, object], before: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif isinstance(value, list | tuple):
            yield f"{before}{name}", ", ".join(map(str, value))
        else:
            yield f"{before}{name}", str(value)


def _version() -> str:
    try:
        return version("mglubench")
    except PackageNotFoundError:
        return ""
