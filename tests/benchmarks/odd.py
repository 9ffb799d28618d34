"""Odd values, and documents spoilt by byte and by structure: what fuzzers feed."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

# Nothing here may name a place outside the folder that a fuzzer works in and be writable there.
WORDS = [
    *("", " ", ",", ",,", "-", "--", "-1", "0", "1", "2", "17", "0x10", "1_000", "+3", "1.5", "1e3", "1e-300", "1e400"),
    *("nan", "inf", "-inf", "NaN", "Infinity", "٣", "٣٢", "²", "1,2", "1, 2", "1,,2", "1;2", "8x8", "8X8", "8x", "x8"),
    *("8x8x8", "0x0", "-8x8", "8 x 8", "1e9x1e9", "9" * 30, "-" + "9" * 400, "9" * 5000, "1" + "0" * 4300),
    *("true", "false", "None", "null", "[]", "{}", "[1]", '"', "'", "`id`", "$HOME", "%s", "%n", "{0}", "{x!r}", "\\"),
    *("\n", "a\nb", "\r", "\t", "\x07", "\x1b[31mred", "\x1b]0;t\x07", "\x85", "\u2028", "\u202eevil", "\ufeff"),
    "\u200b",
    *("é", "e\u0301", "ß", "İ", "漢字", "😀", "\U0010ffff", "\udc80", "a\udcffb", "x" * 300, "x" * 5000, "é" * 200),
    *("file", "folder", "locked", "nothing", "nothing/below", "file/below", "folder/", "folder/below", ".", ".."),
    *("./", "~"),
    *("loop", "dangling", "socket", "empty.toml", "run", "run/", "run/run.json", "run/rows.jsonl", "/proc/x"),
    "/proc/self/x",
    *("run.toml", "spoilt", "report.csv", "a.png", "a.svg", "a.pdf", "a.csv", "a.parquet", "a.PNG", ".png", ".csv"),
    *("a.", "con"),
    *("auto", "cpu", "cuda", "cuda:0", "cuda:x", "cuda:-1", "cuda:99999999999", "CPU", "gpu", "all", "none", "default"),
    *("lu", "-lu", "auto,-lu", "-auto", "swiglu", "swiglo", "lu,lu", "mglu-naive", "mglu", "--lu", "lu,-lu", "LU"),
    *("float32", "fp32", "float64", "bf16", "half", "int8", "float16,float16", "silu", "gelu", "relu", "tanh"),
    *("cold", "hot", "walk", "graph", "cold,cold", "bernoulli:0.5", "bernoulli:2", "bernoulli:nan", "bernoulli:"),
    "bernoulli",
    *("topk", "alternating", "none:1", "ones", "zeros", "quick", "paper", "batch", "llms", "campaign", "quick.toml"),
    "sweeps/quick",
    *("RTX 5090", "H100", "H100 PCIe", "A100-SXM4-80GB", "rtx", "B200", "sm_90a", "sm_80", "sm_1", "sm_999"),
    "compute_90",
    *("ncu", "nsys", "roofline", "bandwidth", "fake", "local", "child", "fako", "1 ", "0.0", "-0", "-0.0", "1e-9"),
    "0.01",
]
PLAIN = [
    *(None, True, False, 0, 1, -1, 2, 3, 17, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 0.0, -0.0, 0.5, 1e-300),
    1e300,
    *(math.nan, math.inf, -math.inf, [], {}, [[]], [{}], {"a": {}}, [None], [0], [""], ["x", 1], {"": 0}),
    *("", "x", "0", "1", "nan", "\0", "\n", "\ud800", "\udc80", "\u2028", "😀", "auto", "x" * 3000, "8x8", "ok"),
    "error",
]


def word(random: random.Random) -> str:
    """An odd word of a command line, sometimes several joined."""
    kind = random.random()
    if kind < 0.75:
        return random.choice(WORDS)
    if kind < 0.88:
        return ",".join(random.choices(WORDS, k=random.randint(2, 4)))
    letters = "abcxyz0189-_,.:/=+~*'\"\\ \té😀\x01\x1f\x7f\udc9f"
    return "".join(random.choices(letters, k=random.randint(1, 12)))


def plain(random: random.Random) -> Any:
    """An odd value of a document."""
    if random.random() < 0.2:
        return random.choice(WORDS)
    return copy.deepcopy(random.choice(PLAIN))


def near(random: random.Random, text: str) -> str:
    """A word with one letter gone, doubled, swapped or of the other case."""
    if not text:
        return random.choice("abc")
    at = random.randrange(len(text))
    return random.choice([
        text[:at] + text[at + 1 :],
        text[:at] + text[at] + text[at:],
        text[:at] + text[at:][1:2] + text[at] + text[at + 2 :],
        text[:at] + text[at].swapcase() + text[at + 1 :],
    ])  # fmt: skip


def spoilt_bytes(random: random.Random, data: bytes) -> bytes:
    """A document with bytes lost, put in, turned, doubled or cut off."""
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(data) + 1)
        length = random.choice((1, 1, 2, 5, 40))
        junk = random.choice((random.randbytes(length), b"\0" * length, random.choice(JUNK)))
        lines = data.splitlines(keepends=True)
        line = random.randrange(len(lines)) if lines else 0
        data = random.choice([
            lambda at=at, n=length, data=data: data[:at] + data[at + n :],
            lambda at=at, junk=junk, data=data: data[:at] + junk + data[at:],
            lambda at=at, junk=junk, data=data: data[:at] + junk + data[at + len(junk) :],
            lambda at=at, data=data: data[:at],
            lambda line=line, lines=lines: b"".join(lines[:line] + lines[line : line + 1] * 2 + lines[line + 1 :]),
            lambda line=line, lines=lines: b"".join(lines[:line] + lines[line + 1 :]),
            lambda line=line, lines=lines: b"".join(lines[line:] + lines[:line]),
            lambda data=data: random.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0")) + data,
            lambda data=data: data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b"\xe2\x80\xa8"))),
        ])()  # fmt: skip
    return data


JUNK = [
    *(b'"', b"'", b"[", b"]", b"{", b"}", b"\\", b"\n", b"\r", b",", b"=", b":", b"#", b"\xff", b"\xc3"),
    b"\xed\xa0\x80",
    *(
        b"nan",
        b"inf",
        b"1e999",
        b"-1",
        b"null",
        b"true",
        b"9" * 400,
        b"9" * 5000,
        b"0x" + b"f" * 4000,
        b"[" * 3000,
        b'{"a":' * 3000,
    ),
    b"\\ud800",
    *(b"\\u0000", b"1979-05-27", b"07:32:00", b'"""', b"[[step]]\n", b"[targets]\n", b"a.b = 1\n"),
    b"[" * 200 + b"]" * 200,
]


def spoilt_structure(random: random.Random, document: Any) -> Any:
    """A document with a few of its values changed, lost, renamed, doubled or nested."""
    document = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 2, 4))):
        inside = list(_containers(document))
        if not inside:
            return plain(random)
        _spoil(random, random.choice(inside))
    return document


def _containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        if value:
            yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)


def _spoil(random: random.Random, inside: Any) -> None:
    keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
    key, kind = random.choice(keys), random.random()
    if kind < 0.5:
        inside[key] = plain(random)
    elif kind < 0.65:
        del inside[key]
    elif kind < 0.75:
        value = inside[key]
        for _ in range(random.choice((1, 2, 50))):
            value = [value] if random.random() < 0.5 else {"a": value}
        inside[key] = value
    elif isinstance(inside, list):
        inside.insert(random.randrange(len(inside) + 1), copy.deepcopy(random.choice(inside)))
    else:
        name = near(random, key) if random.random() < 0.6 else random.choice(WORDS)
        inside[name] = inside.pop(key) if random.random() < 0.5 else plain(random)


def as_toml(document: dict[str, Any]) -> str:
    """A document as TOML, tables written inline except those of a list of tables and of the document itself."""
    lines = [f"{_key(key)} = {_toml(value)}" for key, value in document.items() if not _tables(value)]
    for key, value in document.items():
        for table in value if _tables(value) else ():
            lines += [f"[[{_key(key)}]]", *(f"{_key(name)} = {_toml(item)}" for name, item in table.items())]
    return "\n".join(lines) + "\n"


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key(key: Any) -> str:
    text = str(key)
    return text if text.replace("_", "").replace("-", "").isalnum() and text.isascii() else _text(text)


def _text(text: str) -> str:
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    if value is None:
        return "1979-05-27T07:32:00Z"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | int):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return "{" + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
