"""What a page carries inside itself: data, scripts and styles, each such that nothing in it can end its element.

Scripts are named to the browser by their hashes (a content security policy), so that it runs these and no other, and
loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.report.table import LONGEST_CELL
from mglubench.results.rows import Plain
from mglubench.system.plain_text import plain

if TYPE_CHECKING:
    from markupsafe import Markup

ASSETS = Path(__file__).with_name("assets")
LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
# In the order in which they use each other.
SCRIPTS = (
    "words.js",
    "rows.js",
    "ratio.js",
    "state.js",
    "filters.js",
    "tables.js",
    "columns.js",
    "charts.js",
    "roofline.js",
    "samples.js",
    "verdicts.js",
    "main.js",
)
STYLE = "page.css"
LICENCES = "vendor/LICENCES.txt"
# What would end a script element, begin a comment in it, or end a line of a script.
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def embedded_json(value: Plain) -> Markup:
    """JSON for a script element; texts of strangers are one harmless line each, and markup in them stays text."""
    from markupsafe import Markup

    text = json.dumps(harmless(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPED.items():
        text = text.replace(character, escape)
    return Markup(text)


def harmless(value: Plain) -> Plain:
    """The same values; a text that was no visible line is one."""
    if isinstance(value, str):
        return plain(value, LONGEST_CELL)
    if isinstance(value, dict):
        return {plain(name, LONGEST_CELL): harmless(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        # Most of a page are columns of numbers, which need no look at each.
        return [harmless(item) for item in value] if any(isinstance(item, _LOOKED_AT) for item in value) else value
    return value


_LOOKED_AT = (str, dict, list, tuple)


@cache
def asset(name: str) -> str:
    """A text that comes with the package."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def scripts() -> tuple[str, ...]:
    """The text of every script element: the libraries, one each, and the page's own files in one."""
    own = "\n".join(asset(name) for name in SCRIPTS)
    found = (*(asset(name) for name in LIBRARIES), f'"use strict";\n{{\n{own}\n}}\n')
    broken = [text for text in found if "</script" in text.lower() or "<!--" in text]
    assert not broken, "a script of the page would end its own element"
    return found


def policy(texts: Sequence[str]) -> str:
    """A content security policy under which these scripts run, and nothing else does or is loaded."""
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in texts)
    rest = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {hashes}; {rest}"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
