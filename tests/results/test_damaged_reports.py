"""Reports with damage: never a traceback, and never a figure that differs from the undamaged one without a mark."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mglubench.errors import MglubenchError
from mglubench.results.counters import joined_row
from mglubench.results.profile_files import read_profile
from tests.conftest import make_case
from tests.results.nsys_export import TABLES, Export

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
PAGES = {page: (FIXTURES / f"ncu_{page}.csv").read_text() for page in ("raw", "details", "short_rows_details")}
KEYS = [make_case(variant=variant, device="cuda:0").key for variant in ("swiglu", "mglu-naive")]
NVTX, CALLS, KERNELS, GRAPHS = list(TABLES)[1:]
NOISE = ["==PROF== 50%", "words, and more", '"quoted"', "==ERROR== no", '{"a": 1}', "\ufeff", ";;;", "\x1b[31m", '"5']
EXAMPLES = int(os.environ.get("MGLUBENCH_FUZZ_EXAMPLES", "100"))
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def rows(path, how=None):
    """What is stored of every case in a report."""
    profile = read_profile(path)
    return {key: joined_row(profile.tool, key, found, how or {}) for key, found in profile.cases.items()}


def differs_unmarked(path, good):
    """Cases that claim another figure than the undamaged report: unmarked, or marked as partial but not as missing."""
    try:
        found = rows(path)
    except MglubenchError as error:
        return ["more than one line"] if "\n" in str(error) else []
    wrong = []
    for key, row in found.items():
        want = good[key].figures if key in good else {}
        other = {n for n, value in row.figures.items() if value is not None and value != want.get(n)}
        lacking = {n for n, value in want.items() if value is not None and row.figures.get(n) is None}
        if (row.status == "ok" and (other or lacking)) or other - {"nsys_kernels", "nsys_graphs"}:
            wrong.append((key, row))
        assert row.reason or row.status == "ok"
    return wrong


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def good(folder):
    """Rows of the undamaged pages."""
    for page, text in PAGES.items():
        (folder / f"{page}.csv").write_text(text)
    return {page: rows(folder / f"{page}.csv") for page in PAGES}


@QUICK
@given(page=st.sampled_from(sorted(PAGES)), where=st.floats(0, 1), mark=st.sampled_from(["\n", "\r\n"]))
def test_a_page_that_is_cut_within_a_row(folder, good, page, where, mark):
    text = PAGES[page].replace("\n", mark)
    at = int(where * len(text))
    # A cut between two kernels leaves a smaller report that nothing tells from a whole one.
    assume(page != "raw" or not text[:at].endswith(("\n", "\r", '"')) or text[at : at + 1] not in ("\n", "\r", '"'))
    (folder / "cut.csv").write_bytes(text[:at].encode())
    assert not differs_unmarked(folder / "cut.csv", good[page])


@QUICK
@given(
    page=st.sampled_from(sorted(PAGES)),
    at=st.integers(0, 10_000),
    what=st.sampled_from(["noise", "twice", "glue", "header"]),
    noise=st.sampled_from(NOISE),
)
def test_lines_that_are_inserted_doubled_or_glued(folder, good, page, at, what, noise):
    lines = PAGES[page].splitlines()
    at %= len(lines)
    if what == "noise":
        lines.insert(at, noise)
    elif what == "twice":
        lines.insert(at, lines[at])
    elif what == "header":
        lines.insert(at, next(line for line in lines if line.startswith('"ID"')))
    elif at + 1 < len(lines):
        lines[at : at + 2] = [lines[at] + lines[at + 1]]
    (folder / "lines.csv").write_text("\n".join(lines) + "\n")
    assert not differs_unmarked(folder / "lines.csv", good[page])


@QUICK
@given(
    page=st.sampled_from(sorted(PAGES)),
    at=st.floats(0, 1),
    sign=st.sampled_from(['"', ",", "\n", "\0", "x", ";", "\t", "\ufeff", "(", "'", " ", "-", "%", "\u00a0", "\x00"]),
    remove=st.booleans(),
)
def test_a_sign_that_is_added_or_a_quote_that_is_lost(folder, good, page, at, sign, remove):
    text = PAGES[page]
    place = int(at * len(text))
    if remove:
        place = text.find('"', place)
        assume(place >= 0)
        damaged = text[:place] + text[place + 1 :]
    else:
        # A name that is damaged is another name.
        assume(not any(cell.start() < place < cell.end() for cell in re.finditer('""mglubench.*?"" ", *', text)))
        damaged = text[:place] + sign + text[place:]
    (folder / "sign.csv").write_text(damaged)
    assert not differs_unmarked(folder / "sign.csv", good[page])


@QUICK
@given(page=st.sampled_from(["details", "short_rows_details"]), at=st.integers(0, 10_000))
def test_a_metric_that_is_lost(folder, good, page, at):
    lines = PAGES[page].splitlines()
    del lines[at % len(lines)]
    (folder / "lost.csv").write_text("\n".join(lines) + "\n")
    assert not differs_unmarked(folder / "lost.csv", good[page])


@QUICK
@given(page=st.sampled_from(sorted(PAGES)), data=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255))))
def test_bytes_at_random_are_no_traceback(folder, page, data):
    text = bytearray(PAGES[page].encode())
    for place, value in data:
        text[place % len(text)] = value
    (folder / "bytes.csv").write_bytes(text)
    differs_unmarked(folder / "bytes.csv", {})


def sound():
    """Two cases, each with a warm-up kernel and three timed ones."""
    export = Export()
    for number, key in enumerate(KEYS):
        base = 1000 + 10_000 * number
        export.range(key, base, base + 9000).range("timed", base + 2000, base + 8000)
        export.launch(base + 100, (base + 300, base + 900))
        for launch in range(3):
            at = base + 2100 + 1000 * launch
            export.launch(at, (at + 100, at + 600 + launch))
    return export


@QUICK
@given(
    table=st.sampled_from([NVTX, CALLS, KERNELS]),
    at=st.integers(0, 100),
    how=st.sampled_from(["delete", "twice", "start", "end", "swap", "correlationId", "globalTid", "globalPid"]),
    value=st.sampled_from([0, None, -1, "x", 2.5, 1 << 62, b"\xff"]),
)
def test_records_that_are_lost_doubled_or_overwritten(folder, table, at, how, value):
    path = sound().write(folder / "good.sqlite")
    good = rows(path)
    assert [row.status for row in good.values()] == ["ok", "ok"]
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous=OFF")
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        (count,) = database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        where = f"WHERE rowid = {1 + at % count}"
        # Nothing tells of a phase that is not there, or of one that is on a thread of another process.
        phase = table == NVTX and at % count % 2 == 1
        if how == "delete":
            assume(not phase)
            database.execute(f"DELETE FROM {table} {where}")
        elif how == "twice":
            database.execute(f"INSERT INTO {table} SELECT * FROM {table} {where}")
        elif how == "swap":
            database.execute(f'UPDATE {table} SET start = "end", "end" = start {where}')
        else:
            assume(how in columns and not (phase and how == "globalTid"))
            # A time that is wrong but possible cannot be told.
            assume(not (how in ("start", "end") and value == 1 << 62) and not (phase and how == "start" and value == 0))
            assume(not (table == NVTX and how in ("start", "end") and value == 0 and how == "start"))
            database.execute(f'UPDATE {table} SET "{how}" = ? {where}', (value,))
        database.commit()
    assert not differs_unmarked(path, good)


@QUICK
@given(data=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=40), cut=st.floats(0, 2))
def test_a_damaged_database_is_no_traceback(folder, data, cut):
    path = sound().write(folder / "bytes.sqlite")
    content = bytearray(path.read_bytes())
    for place, value in data:
        content[place % len(content)] = value
    path.write_bytes(content[: int(cut * len(content))] if cut < 1 else content)
    differs_unmarked(path, {})
    path.unlink()
