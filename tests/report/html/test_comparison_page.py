"""The page of a comparison: verdicts worst first, in a file and in a browser; names with markup are text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mglubench.report.html.comparison_page import comparison_page
from mglubench.results.compare import Rules, compare_runs
from mglubench.results.frame import load
from mglubench.results.judgement import Verdict
from mglubench.results.metrics import derive
from tests.conftest import tree
from tests.report.html.browser import needs_browser, running
from tests.report.html.test_page import HOSTILE, MAIN_JOB, data_of, parsed
from tests.report.html.test_page_in_browser import clean
from tests.results.compared import CASES, world


@pytest.fixture(scope="module")
def comparison():
    """One case 20 % slower, one faster, one that the new side lacks."""
    rng = np.random.default_rng(3)
    base = world(4, rng)
    new = world(4, rng, first=10, changed={CASES[4]: 0.2, CASES[0]: -0.2}, cases=CASES[:-1])
    return compare_runs(base, new, names=("main", "my-branch"), rules=Rules(recall=lambda name: None))


@pytest.fixture(scope="module")
def page(comparison):
    return comparison_page(comparison, derive(load(MAIN_JOB, samples=True)))


def test_every_verdict_is_there_worst_first(page, comparison):
    rows = data_of(page)["comparison"]["rows"]
    assert [row["verdict"] for row in rows] == [judgement.verdict.value for judgement in comparison.worst_first()]
    assert [row["change"] for row in rows if row["change"] is not None] == pytest.approx(
        [j.change for j in comparison.worst_first() if j.change is not None], rel=1e-6
    )
    assert {"slower", "faster", "missing", "same"} <= {row["verdict"] for row in rows}


def test_the_answer_is_the_worst_that_counts(page, comparison):
    worst = max((j for j in comparison.latencies if j.regression), key=lambda j: j.size)
    assert f"{100 * worst.change:+.1f} %" in page
    assert "most of all mglu-numba-cpu nm=1: latency." in page
    assert "Of comparisons of identical code, 5%" in page
    same = dataclasses.replace(
        comparison, judgements=tuple(j for j in comparison.judgements if j.verdict is Verdict.SAME), common=()
    )
    assert "Nothing got slower, as far as these runs can tell." in comparison_page(same)


def test_a_page_without_a_run_is_small_and_has_verdicts_alone(comparison):
    page = comparison_page(comparison)
    assert len(page) < 700_000
    assert data_of(page)["run"] is None
    assert "rows-latency" not in {attributes.get("id") for _, attributes in parsed(page).found}


def test_the_command_writes_the_page_beside_what_it_prints_and_overwrites_none(cli, tmp_path):
    for name in ("a", "b"):
        fake = ("sweep", "--executor", "fake", "--h", "64", "--d", "96", "--nm", "1", "--no-ceiling", "--out", name)
        assert cli(*fake).code == 0
    alone = cli("compare", "a", "b")
    done = cli("compare", "a", "b", "--html", "page.html")
    assert (done.code, done.out) == (alone.code, alone.out)
    page = (tmp_path / "page.html").read_text()
    assert "Fake runs: these figures come from the fake executor" in page
    assert data_of(page)["run"]["count"] == len((tmp_path / "b" / "rows.jsonl").read_text().splitlines())
    before = tree(tmp_path)
    for path, said in (("page.html", "is there already"), ("nowhere/page.html", "nowhere")):
        refused = cli("compare", "a", "b", "--html", path)
        assert refused.code == 2
        assert said in refused.err
        assert refused.err.count("\n") == 1
    assert tree(tmp_path) == before


@needs_browser
def test_verdicts_sort_filter_and_come_back_in_a_browser(comparison, page, tmp_path):
    path, alone = tmp_path / "page.html", tmp_path / "alone.html"
    path.write_text(page)
    alone.write_text(comparison_page(comparison))
    strange = dataclasses.replace(
        comparison,
        base=dataclasses.replace(comparison.base, name=HOSTILE),
        judgements=tuple(dataclasses.replace(j, words=HOSTILE, advice=HOSTILE) for j in comparison.judgements),
    )
    (tmp_path / "hostile.html").write_text(comparison_page(strange))
    with running() as browser:
        for width in (390, 1280, 1920):
            with browser.open(path, width=width) as opened:
                assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
                clean(opened)
        with browser.open(path) as opened:
            verdicts = opened.column("verdicts", "verdict")
            assert verdicts == [judgement.verdict.value for judgement in comparison.worst_first()]
            opened.page.locator("[data-verdict=slower]").click()
            assert set(opened.column("verdicts", "verdict")) == {"slower"}
            opened.page.locator("#table-verdicts th[data-key=change] button").click()
            changes = [float(text.split(" %")[0].replace("−", "-")) for text in opened.column("verdicts", "change")]
            assert changes == sorted(changes, reverse=True)
            address = opened.page.evaluate("location.hash")
            clean(opened)
        with browser.open(alone, hash_=address) as again:
            assert set(again.column("verdicts", "verdict")) == {"slower"}
            assert again.page.locator("#chart-changes svg").count() == 1
            clean(again)
        with browser.open(tmp_path / "hostile.html") as opened:
            assert HOSTILE.replace("\u2028", " ") in opened.column("verdicts", "words")[0]
            assert opened.page.locator("img").count() == 0
            clean(opened)
