"""Files that people write by hand: TOML with whatever an editor puts before it, and the lines that complaints name."""

from __future__ import annotations

import re
from pathlib import Path

from mglubench.errors import ConfigError

_HEADER = re.compile(r"\s*\[+\s*[\w.\"'-]+\s*\]+\s*(#.*)?$")


def read_toml(path: Path) -> tuple[str, dict[str, object]]:
    """Text and values of a file; a byte order mark is no part of it.

    Raises:
        ConfigError: it cannot be read, or is no TOML; the message names file and line.
    """
    import tomllib

    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        end = f"at line {max(1, len(text.splitlines()))}, the end"
        raise ConfigError(f"{path}: {said[:1].lower()}{said[1:].replace('at end of document', end)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:
        # The parser lets through what Python says of a date that no calendar has, or of a number with 5000 digits.
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    for key, value in values.items():
        if _beyond_64_bits(value):
            raise ConfigError(f"{path}, line {line_of(text, key)}: key {key!r}: a whole number beyond 64 bits")
    return text, values


def line_of(text: str, key: str) -> int:
    """The first line that sets a key or opens a table of that name; 1 if there is none."""
    pattern = _sets(key)
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def line_in_table(text: str, table: str, count: int, complaint: str) -> int:
    """The line that a complaint about the ``count``-th table of a name means, counted from 1.

    It is that of the first key of the table that the complaint mentions, else that of the table's header; 1 if there
    is no such table, which TOML can also write in other ways.
    """
    lines = text.splitlines()
    header = re.compile(rf"\s*\[+\s*[\"']?{re.escape(table)}[\"']?\s*\]+")
    starts = [number for number, line in enumerate(lines) if header.match(line)]
    if len(starts) < count:
        return line_of(text, table)
    start = starts[count - 1]
    for number in range(start + 1, len(lines)):
        if _HEADER.match(lines[number]):
            break
        key = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*[=.]", lines[number])
        if key and re.search(rf"\b{re.escape(key[1].removesuffix('s'))}s?\b", complaint.replace("-", "_")):
            return number + 1
    return start + 1


def _beyond_64_bits(value: object) -> bool:
    """Whether a value is, or holds, a whole number that TOML has no room for; in hexadecimal Python cannot print it."""
    if isinstance(value, dict | list):
        return any(map(_beyond_64_bits, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _sets(key: str) -> re.Pattern[str]:
    return re.compile(rf"\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
