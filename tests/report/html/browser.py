"""A real browser for tests of pages: Debian's Chromium, driven by Playwright; a reason where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def why_no_browser() -> str:
    """Why pages cannot be opened here; empty if they can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed; it is part of the dev extra"
    return "" if executable() else f"no {' or '.join(NAMES)}; apt-get install chromium"


def executable() -> str | None:
    """Where the browser is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Opened:
    """A page that is open, and what it said: console messages, exceptions, and addresses that it asked for."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def column(self, table: str, key: str) -> list[str]:
        """The shown texts of one column."""
        script = """([table, key]) => {
          const heads = [...document.querySelectorAll(`#table-${table} thead th`)];
          const place = heads.findIndex((head) => head.dataset.key === key);
          return [...document.querySelectorAll(`#table-${table} tbody tr`)].map((row) => {
            const cell = row.children[place];
            return (cell.querySelector(".pick span:last-child") ?? cell).innerText;
          });
        }"""
        return list(self.page.evaluate(script, [table, key]))


@dataclass
class Browser:
    """Opens files, each in a context of its own."""

    chromium: Any

    @contextmanager
    def open(self, path: Path, *, hash_: str = "", width: int = 1280, dark: bool = False) -> Iterator[Opened]:
        scheme = "dark" if dark else "light"
        context = self.chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened = Opened(context.new_page())
        opened.page.set_default_timeout(20_000)
        opened.page.on("console", lambda message: opened.said.append(f"{message.type}: {message.text}"))
        opened.page.on("pageerror", lambda error: opened.said.append(f"error: {error}"))
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(path.absolute().as_uri() + hash_)
        opened.page.wait_for_selector("html[data-ready=yes]")
        yield opened
        context.close()


@contextmanager
def running() -> Iterator[Browser]:
    """The browser, until the caller is done with it. A container's root must run it without its sandbox."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable(), args=options)
        yield Browser(chromium)
        chromium.close()


needs_browser = pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser())
