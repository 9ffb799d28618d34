"""The page in a real browser: no error, nothing asked of a network, sorting, filters, two rows, the address, widths."""

from __future__ import annotations

from itertools import combinations

import pytest

from mglubench.estimates import ratio
from mglubench.measure.measurement import series_of
from mglubench.report.html.answer import answers
from mglubench.report.html.page import run_page
from mglubench.report.table import times
from mglubench.report.tables import row_notices
from mglubench.results.frame import load
from mglubench.results.metrics import derive
from mglubench.results.store import RunStore
from tests.conftest import ROOT, make_header, make_row
from tests.report.html.browser import needs_browser, running
from tests.report.html.test_page import HOSTILE, hostile_run

pytestmark = needs_browser
MAIN_JOB = ROOT / "reports" / "cpu-main-job"
OURS, GLU = "mglu-numba-cpu", "swiglu-numba-cpu"


@pytest.fixture(scope="module")
def browser():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def frame():
    return derive(load(MAIN_JOB, samples=True))


@pytest.fixture(scope="module")
def page(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "main job.html"
    path.write_text(run_page(frame))
    return path


def layers_of(frame):
    return frame[(frame["status"] == "ok") & ~frame["layer"].isin(("read", "product"))]


def row_of(frame, variant, nm=0):
    (row,) = frame[(frame["variant"] == variant) & (frame["nm"] == nm)].to_dict("records")
    return row


def key_of(frame, variant, nm=0):
    return row_of(frame, variant, nm)["key"]


def clean(opened):
    """Nothing was said, and nothing was asked but the file and its empty icon."""
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in opened.asked) == 1


def click_row(opened, key):
    opened.page.locator("#table-latency tbody tr", has=opened.page.locator("td")).locator(
        f"xpath=self::*[@data-id='{key}']"
    ).locator("td").first.click()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_it_opens_in_silence_and_fits_every_width(browser, page, width, dark):
    with browser.open(page, width=width, dark=dark) as opened:
        clean(opened)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        background = opened.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(20, 23, 27)") == dark
        for chart in ("forest", "latency", "roofline", "samples"):
            box = opened.page.locator(f"#chart-{chart} svg").first.bounding_box()
            assert box is not None
            assert 200 < box["width"] <= width
            assert box["height"] > 100
        assert colours_in(opened.page.screenshot(full_page=True)) > 50


def colours_in(png):
    """How many colours a picture has, coarsely."""
    import io

    from matplotlib.image import imread

    pixels = imread(io.BytesIO(png))[::7, ::7, :3]
    return len({tuple(pixel) for pixel in (pixels * 15).round().astype(int).reshape(-1, 3).tolist()})


def test_every_layer_has_a_line_and_the_charts_a_point(browser, page, frame):
    layers = layers_of(frame)
    with browser.open(page) as opened:
        for table in ("latency", "bytes"):
            assert sorted(opened.column(table, "variant")) == sorted(layers["variant"])
        points = "() => document.querySelectorAll('#chart-latency [aria-label=dot] > *').length"
        # Two rings around the picked ones.
        assert opened.page.evaluate(points) == len(layers) + 2


def test_a_heading_sorts_turns_and_gives_back_the_order(browser, page):
    with browser.open(page) as opened:
        before = opened.column("latency", "latency_us")
        head = opened.page.locator("#table-latency th[data-key=latency_us]")
        for direction, turn in (("ascending", False), ("descending", True)):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == direction
            values = [float(text.replace(",", "")) for text in opened.column("latency", "latency_us")]
            assert values == sorted(values, reverse=turn)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "none"
        assert opened.column("latency", "latency_us") == before
        # A factor begins with the largest, and rows without one come last in both orders.
        head = opened.page.locator("#table-latency th[data-key=vs_naive]")
        for _ in range(2):
            head.locator("button").click()
            assert opened.column("latency", "vs_naive")[-1] == "–"
        clean(opened)


def test_filters_narrow_tables_charts_and_notes_together(browser, page, frame):
    layers = layers_of(frame)
    with browser.open(page) as opened:
        opened.page.locator("details.filter[data-axis=nm] summary").click()
        opened.page.locator("details.filter[data-axis=nm] input[value='8']").check()
        assert set(opened.column("latency", "nm")) == {"8"} == set(opened.column("bytes", "nm"))
        assert opened.text("#filters .count") == f"{(layers['nm'] == 8).sum()} of {len(layers)} rows"
        opened.page.locator("details.filter[data-axis=variant] summary").click()
        assert opened.page.locator("details.filter[open]").count() == 1
        opened.page.locator(f"details.filter[data-axis=variant] input[value={OURS}]").check()
        assert opened.column("latency", "variant") == [OURS]
        assert opened.page.locator("#footnotes li").count() == len(row_notices(row_of(frame, OURS, 8)))
        opened.page.get_by_role("button", name="Clear filters").click()
        assert len(opened.column("latency", "nm")) == len(layers)
        opened.page.get_by_role("searchbox").fill("premasked NM4")
        assert opened.column("latency", "variant") == ["mglu-premasked"]
        opened.page.get_by_role("searchbox").fill("no such thing")
        assert opened.text("#table-latency tbody") == "Nothing passes the filters."
        clean(opened)


def test_it_opens_with_the_answer_and_two_clicks_give_another_ratio(browser, page, frame):
    with browser.open(page) as opened:
        (answer,) = answers(frame.to_dict("records"))
        assert f"{times(answer.value)}×" in opened.text("#pair-words")
        opened.page.keyboard.press("Escape")
        assert "Pick two rows" in opened.text("#pair-words")
        click_row(opened, key_of(frame, OURS, 8))
        click_row(opened, key_of(frame, row_of(frame, OURS, 8)["fastest_naive"], 8))
        row = row_of(frame, OURS, 8)
        words = opened.text("#pair-words")
        assert f"{times(row['vs_naive'])}×" in words
        assert f"95 % interval {times(row['vs_naive_low'])} to {times(row['vs_naive_high'])}" in words
        assert f"over {row['rounds']} rounds in {row['processes']} processes" in words
        clean(opened)


def test_a_point_of_a_chart_says_its_numbers_and_can_be_picked(browser, page):
    with browser.open(page, hash_="#a=&b=") as opened:
        mark = opened.page.locator("#chart-latency svg [aria-label=dot] path").first
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tip = opened.page.locator("#chart-latency [aria-label=tip]")
        tip.get_by_text("GB/s").first.wait_for()
        opened.page.mouse.down()
        opened.page.mouse.up()
        assert "Pick a second row" in opened.text("#pair-words")
        clean(opened)


def test_the_keyboard_is_enough(browser, page, frame):
    with browser.open(page, hash_="#a=&b=") as opened:
        opened.page.locator("#table-latency .pick").first.focus()
        opened.page.keyboard.press("Enter")
        opened.page.keyboard.press("ArrowDown")
        opened.page.keyboard.press("Space")
        sides = opened.page.evaluate(
            "[...document.querySelectorAll('#table-latency [data-side]')].map((r) => r.dataset.side)"
        )
        assert [side for side in sides if side] == ["A", "B"]
        head = opened.page.locator("#table-latency th[data-key=noise] button")
        head.focus()
        opened.page.keyboard.press("Enter")
        assert opened.page.locator("#table-latency th[data-key=noise]").get_attribute("aria-sort") == "ascending"
        opened.page.locator("details.filter[data-axis=nm] summary").focus()
        opened.page.keyboard.press("Enter")
        opened.page.keyboard.press("Tab")
        opened.page.keyboard.press("Space")
        assert set(opened.column("latency", "nm")) == {""}
        opened.page.keyboard.press("Escape")
        assert opened.page.locator("details.filter[open]").count() == 0
        clean(opened)


def test_the_address_brings_everything_back(browser, page, frame):
    with browser.open(page) as opened:
        opened.page.locator("details.filter[data-axis=nm] summary").click()
        opened.page.locator("details.filter[data-axis=nm] input[value='8']").check()
        opened.page.locator("#table-latency th[data-key=latency_us] button").click()
        opened.page.keyboard.press("Escape")
        opened.page.keyboard.press("Escape")
        click_row(opened, key_of(frame, "mglu-op", 8))
        opened.page.locator("[data-set-theme=dark]").click()
        opened.page.get_by_role("button", name="time", exact=True).click()
        address = opened.page.evaluate("location.hash")
        order, words = opened.column("latency", "variant"), opened.text("#pair-words")
    with browser.open(page, hash_=address) as again:
        assert again.column("latency", "variant") == order
        assert set(again.column("latency", "nm")) == {"8"}
        assert again.text("#pair-words") == words
        assert again.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 23, 27)"
        assert "moved by one run" in again.text("#chart-roofline")
        again.page.evaluate("location.hash = ''")
        again.page.wait_for_function(
            f"document.querySelectorAll('#table-latency tbody tr').length === {len(layers_of(frame))}"
        )
        clean(again)


@pytest.mark.parametrize(
    "hash_", ["#a=nothing&only.nope=1&sort.latency=nope&page.latency=x&setting=y", "#%&=&&a.b.c=%ff"]
)
def test_an_address_that_says_nonsense_is_passed_over(browser, page, frame, hash_):
    with browser.open(page, hash_=hash_) as opened:
        assert len(opened.column("latency", "variant")) == len(layers_of(frame))
        clean(opened)


def test_every_ratio_and_interval_is_the_tools_own(browser, page, frame):
    layers = layers_of(frame)
    series = {
        key: series_of(s, r) for key, s, r in zip(layers["key"], layers["samples_ns"], layers["rounds_of"], strict=True)
    }
    pairs = list(combinations(series, 2))
    with browser.open(page) as opened:
        script = """(pairs) => pairs.map(([base, own]) => window.mglubench.ratioOf(base, own))"""
        found = opened.page.evaluate(script, [list(pair) for pair in pairs])
    assert len(found) == len(pairs) > 500
    for (base, own), shown in zip(pairs, found, strict=True):
        truth = ratio(series[base], series[own])
        assert [shown["value"], shown["low"], shown["high"]] == pytest.approx(
            [truth.value, truth.low, truth.high], rel=1e-6
        )


def test_markup_in_a_run_is_text_in_the_browser_too(browser, tmp_path):
    path = tmp_path / "hostile.html"
    path.write_text(run_page(derive(load(hostile_run(tmp_path / "run"), samples=True))))
    with browser.open(path) as opened:
        opened.page.on("dialog", lambda dialog: opened.said.append(f"dialog: {dialog.message}"))
        shown = opened.column("latency", "variant")
        assert HOSTILE.replace("\u2028", " ") in shown
        opened.page.locator("#chart-latency svg [aria-label=dot] > *").first.hover()
        opened.page.locator("#table-latency .pick").first.click()
        assert opened.page.locator("img").count() == 0
        assert HOSTILE.replace("\u2028", " ") in opened.column("failed", "reason")
        address = opened.page.evaluate("location.hash")
        clean(opened)
    with browser.open(path, hash_=address) as again:
        assert again.page.locator("#table-latency [data-side=B], #table-latency [data-side=A]").count() > 0
        clean(again)


def test_several_settings_have_a_chooser_a_column_and_pages(browser, tmp_path):
    with RunStore.create(tmp_path / "run", make_header(cases=240)) as store:
        for number in range(60):
            h = 16 + 8 * number
            for layer, variant, nm, base in (("glu", "swiglu", 0, 3000.0), ("mglu", "mglu-op", 1, 1000.0)):
                samples = [base + number, base + 10 + number, base + 20 + number]
                store.append(make_row(layer, samples, variant=variant, nm=nm, h=h))
                store.append(make_row(layer, samples, variant=variant, nm=nm, h=h, dtype="bfloat16"))
    path = tmp_path / "page.html"
    path.write_text(run_page(derive(load(tmp_path / "run", samples=True))))
    with browser.open(path) as opened:
        assert len(opened.column("latency", "shape")) == 100
        opened.page.locator("#rows-latency").get_by_role("button", name="Next").click()
        assert "rows 101 to 200 of 240" in opened.text("#rows-latency .pager")
        choice = opened.page.locator("#setting-choice")
        assert choice.locator("option").count() == 120
        choice.select_option("0")
        opened.page.get_by_role("button", name="Next setting").click()
        assert "bfloat16" in choice.locator("option:checked").inner_text()
        opened.page.locator("details.filter[data-axis=shape] summary").click()
        opened.page.locator("details.filter[data-axis=shape] input[value='96x10']").check()
        assert set(opened.column("latency", "shape")) == {"96x10"}
        assert "h=96" in choice.locator("option:checked").inner_text()
        assert opened.page.locator("#rows-latency .pager").is_hidden()
        clean(opened)


def test_print_shows_every_row_and_no_controls(browser, page):
    with browser.open(page, dark=True) as opened:
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert opened.page.locator("#filters").is_hidden()
        assert opened.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
        assert len(opened.page.pdf()) > 50_000
        clean(opened)
