"""The page as a file: what it holds, that strangers' words stay words, and that nothing is overwritten."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from mglubench.report.html.answer import answers
from mglubench.report.html.inline import embedded_json, policy, scripts
from mglubench.report.html.page import run_page
from mglubench.report.table import times
from mglubench.results.frame import load
from mglubench.results.metrics import derive
from mglubench.results.store import RunStore
from tests.conftest import ROOT, make_header, make_row, tree

MAIN_JOB = ROOT / "reports" / "cpu-main-job"
HOSTILE = "</script><script>alert(1)</script><!--\"'&\u2028<img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """Every element with its attributes, and the texts of scripts."""

    def __init__(self):
        super().__init__()
        self.found, self.scripts, self._script = [], [], None

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self._script = True

    def handle_endtag(self, tag):
        self._script = None if tag == "script" else self._script

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] += data


def parsed(page):
    elements = Elements()
    elements.feed(page)
    return elements


def data_of(page):
    return json.loads(parsed(page).scripts[0])


@pytest.fixture(scope="module")
def main_page():
    return run_page(derive(load(MAIN_JOB, samples=True)))


def hostile_run(folder):
    """A run whose every word is markup."""
    header = make_header(cases=4, name=HOSTILE)
    header["environment"]["cpu"]["model"] = header["environment"]["devices"]["cpu"]["name"] = HOSTILE
    header["environment"]["variables"] = {HOSTILE: HOSTILE}
    with RunStore.create(folder, header) as store:
        store.append(make_row("glu", [3000.0, 3100.0, 3200.0], variant=f"glu{HOSTILE}", nm=0, notes=[HOSTILE]))
        store.append(make_row("mglu", [1000.0, 1100.0, 1200.0], variant=HOSTILE))
        store.append(make_row("mglu", [], variant=HOSTILE, nm=1, status="error", reason=HOSTILE))
    return folder


def test_the_page_of_the_main_job_answers_is_small_and_loads_nothing(main_page):
    assert len(main_page.encode()) < 3_000_000
    elements = parsed(main_page)
    words = re.sub(r"\s+", " ", main_page)
    (answer,) = answers(derive(load(MAIN_JOB, samples=True)).to_dict("records"))
    masks = "1 mask" if answer.own["nm"] == 1 else f"{answer.own['nm']} masks"
    fastest = f"{answer.own['variant']} with {masks} is {times(answer.value)} times as fast as the fastest GLU"
    assert f"{fastest}, {answer.base['variant']}." in words
    assert f"95 % interval {times(answer.low)} to {times(answer.high)}" in words
    assert re.search(
        rf"The interval rests on {answer.own['rounds']} rounds in {answer.own['processes']} process", words
    )
    for _, attributes in elements.found:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    assert "@import" not in main_page
    assert "url(" not in re.sub(r"<script.*?</script>", "", main_page, flags=re.DOTALL)


def test_a_browser_may_run_the_pages_own_scripts_and_load_nothing(main_page):
    elements = parsed(main_page)
    (given,) = (a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert given == policy(elements.scripts[1:])
    assert given.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in given.partition("style-src")[0]


def test_the_data_holds_every_row_every_sample_and_the_derived_figures(main_page):
    frame = derive(load(MAIN_JOB, samples=True))
    run = data_of(main_page)["run"]
    assert run["count"] == len(frame)
    assert run["all_samples"]
    assert run["rounds"]["drawn"] == frame["samples_ns"].tolist()
    for name in ("vs_glu", "vs_glu_low", "latency_high_us", "bytes_total"):
        for found, value in zip(run["numbers"][name], frame[name], strict=True):
            assert (found is None and value != value) or found == pytest.approx(value, rel=1e-6)
    words = run["words"]["variant"]
    assert [words["words"][place] for place in words["of"]] == frame["variant"].tolist()


def test_too_many_samples_are_five_numbers_a_round_and_the_page_says_so(monkeypatch):
    from mglubench.report.html import page_data

    monkeypatch.setattr(page_data, "MOST_SAMPLES", 100)
    frame = derive(load(MAIN_JOB, samples=True))
    page = run_page(frame)
    run = data_of(page)["run"]
    assert not run["all_samples"]
    assert f"{sum(map(len, frame['samples_ns'])):,} samples, too many for a page" in page
    row = frame.index[frame["variant"] == "mglu-op"][0]
    first = frame["samples_ns"][row][: frame["rounds_of"][row][0].count]
    five = run["rounds"]["drawn"][row][:5]
    assert (five[0], five[4]) == (min(first), max(first))
    assert five == sorted(five)
    assert len(run["rounds"]["drawn"][row]) == 5 * len(frame["rounds_of"][row])


def test_markup_in_a_run_is_text(tmp_path):
    page = run_page(derive(load(hostile_run(tmp_path / "run"), samples=True)))
    elements = parsed(page)
    assert len(elements.scripts) == 1 + len(scripts())
    assert elements.scripts[1:] == list(scripts())
    assert not [tag for tag, attributes in elements.found if tag == "img" or "onerror" in attributes]
    data = data_of(page)["run"]
    # What ends a line is a space in it; all else is kept.
    assert HOSTILE.replace("\u2028", " ") in data["words"]["variant"]["words"]


@pytest.mark.parametrize("text", ["</script>", "<!--", "<SCRIPT", "\u2028\u2029", "&lt;", "]]>", "\udc80"])
def test_embedded_text_ends_no_element_and_comes_back(text):
    found = str(embedded_json({"a": [text, {text: 1}], "b": [1, 2.5, None]}))
    assert not set(found) & set("<>&\u2028\u2029\udc80")
    assert json.loads(found)["b"] == [1, 2.5, None]


def test_a_run_of_schema_1_a_fake_one_and_one_without_a_figure_have_a_page(tmp_path):
    old = derive(load(ROOT / "tests" / "fixtures" / "run_a33161e_real", samples=True))
    assert "too few for an interval" in run_page(old)
    assert "Fake run" in run_page(derive(load(ROOT / "tests" / "fixtures" / "run_a33161e_fake", samples=True)))
    with RunStore.create(tmp_path / "run", make_header()) as store:
        store.append(make_row("mglu", [], status="crash", reason="it is dead"))
    page = run_page(derive(load(tmp_path / "run", samples=True)))
    assert "there is no speed-up to tell" in page
    assert "Unfinished: 1 of 3 planned cases are here." in page
    with RunStore.create(tmp_path / "none", make_header()):
        pass
    assert "there is no speed-up to tell" in run_page(derive(load(tmp_path / "none", samples=True)))


def test_the_command_writes_one_file_and_overwrites_none(cli, tmp_path):
    result = cli("report", str(MAIN_JOB), "--html", "page.html")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("wrote page.html (")
    assert set(tree(tmp_path)) == {"page.html"}
    (tmp_path / "page.html").write_text("mine")
    refused = cli("report", str(MAIN_JOB), "--html", "page.html")
    assert refused.code == 2
    assert refused.err == "error: page.html is there already; give another name, or --force to overwrite it\n"
    assert (tmp_path / "page.html").read_text() == "mine"
    assert cli("report", str(MAIN_JOB), "--html", "page.html", "--force").code == 0
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()


def test_a_page_beside_another_format_leaves_that_as_it_is(cli, tmp_path):
    alone = cli("report", str(MAIN_JOB), "--csv")
    both = cli("report", str(MAIN_JOB), "--csv", "--html", "page.html")
    assert both.out == alone.out
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize("path", ["nowhere/page.html", "folder"])
def test_a_page_that_cannot_be_written_is_one_line(cli, tmp_path, path):
    (tmp_path / "folder").mkdir()
    result = cli("report", str(MAIN_JOB), "--html", path)
    assert result.code == 2
    assert result.err.startswith(f"error: cannot write {path}: ")
    assert result.err.count("\n") == 1
    assert set(tree(tmp_path)) == {"folder/"}


def test_a_run_that_is_not_there_writes_no_page(cli, tmp_path):
    result = cli("report", "nothing", "--html", "page.html")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not tree(tmp_path)
