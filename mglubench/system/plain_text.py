"""Words of strangers (exceptions, names, compilers) made harmless where they enter a row.

What a terminal, a CSV reader or a markdown page would obey is taken out: escape sequences, control characters, other
ways to end a line, marks that turn the direction of writing, halves of characters.
"""

from __future__ import annotations

import re
import unicodedata

MOST = 400
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and cursor moves
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links and their kin
    r"|\x1b[ -/]*[0-~]?"  # any other
)
# Joiners that scripts need; all other characters of format are invisible or turn the direction of writing.
_JOINERS = "\u200c\u200d"
_HARMLESS = re.compile(r"[\x20-\x7e]*")


def plain(text: str, most: int = MOST) -> str:
    """One line without anything but visible characters and single spaces, shortened to ``most`` characters."""
    if not _HARMLESS.fullmatch(text):
        text = "".join(map(_harmless, _ESCAPES.sub("", text)))
    line = " ".join(text.split())
    return line[:most]


def text_of(error: BaseException) -> str:
    """The text of an exception, whatever its own ``__str__`` does."""
    try:
        return str(error)
    except Exception as broken:
        return f"its text cannot be read: its __str__ raised {type(broken).__name__}"


def words_of(error: BaseException) -> str:
    """The text of an exception as one harmless line, shortened."""
    return plain(text_of(error))


def first_line(error: BaseException, most: int = MOST) -> str:
    """The first line of an exception's text that holds something, harmless and shortened."""
    lines = (plain(line, most) for line in text_of(error).splitlines())
    return next(filter(None, lines), "no message")


def _harmless(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    if kind == "Cs":
        return "\ufffd"
    return "" if kind == "Cf" and character not in _JOINERS else character
