"""Strangers' words cannot steer a terminal, end a line, or turn the direction of writing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mglubench.system.plain_text import first_line, plain, text_of


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("as it is", "as it is"),
        ("two\nlines\r\nof\ttext", "two lines of text"),
        ("a\u2028b\u2029c\x85d\x0be\x0cf", "a b c d e f"),
        ("\x1b[31mred\x1b[0m \x9b1mbold", "red bold"),
        ("\x1b]0;title\x07after \x1b]8;;http://x\x1b\\link", "after link"),
        ("\x1b(Bplain\x1bc", "plain"),
        ("bell\x07 null\x00", "bell null"),
        ("\u202eevil\u2066 \u200ftext\ufeff", "evil text"),
        ("half \ud83d of it", "half \ufffd of it"),
        ("Grüße, 東京, 👩\u200d🔬", "Grüße, 東京, 👩\u200d🔬"),
        ("", ""),
    ],
)
def test_what_would_be_obeyed_is_taken_out(text, harmless):
    assert plain(text) == harmless


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_every_text_becomes_one_visible_line(text):
    line = plain(text)
    assert len(line.splitlines()) <= 1
    assert line.encode("utf-8").decode("utf-8") == line
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in line)
    assert plain(line) == line


def test_a_long_text_is_shortened():
    assert plain("x" * 1000) == "x" * 400
    assert plain("x" * 1000, 7) == "x" * 7


def test_an_exception_without_a_text_has_a_reason():
    assert text_of(MuteError()) == "its text cannot be read: its __str__ raised RuntimeError"
    assert first_line(ValueError("\n \x1b[31m\n second")) == "second"
    assert first_line(ValueError()) == "no message"
