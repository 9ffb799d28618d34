"""Which pages large tensors lie on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mglubench.hardware.pages import VARIABLE, ask_for_huge_pages, pages_in_words


@pytest.mark.parametrize(
    ("system", "asked", "words"),
    [
        ("[always] madvise never", "0", "huge"),
        ("always [madvise] never", "1", "huge"),
        ("always [madvise] never", "0", "small"),
        ("always madvise [never]", "1", "small"),
        ("something else", "1", None),
    ],
)
def test_pages_follow_the_system_and_what_was_asked(tmp_path, monkeypatch, system, asked, words):
    file = tmp_path / "enabled"
    file.write_text(system)
    monkeypatch.setenv(VARIABLE, asked)
    assert pages_in_words(file) == words


def test_a_system_that_does_not_tell_has_no_pages(tmp_path):
    assert pages_in_words(tmp_path / "none") is None


def test_what_the_user_chose_stays(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    ask_for_huge_pages()
    assert os.environ[VARIABLE] == "0"


@pytest.mark.skipif(pages_in_words() is None, reason="no transparent huge pages here")
def test_torch_puts_large_tensors_on_the_pages_that_the_words_name():
    code = (
        "from mglubench.hardware.pages import ask_for_huge_pages, pages_in_words; ask_for_huge_pages(); import torch;"
        "kept = torch.ones(1 << 26);"
        "lines = open('/proc/self/smaps_rollup').read().splitlines();"
        "print(pages_in_words(), sum(int(line.split()[1]) for line in lines if line.startswith('AnonHugePages')) >> 10)"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=root)
    words, megabytes = done.stdout.split()
    # 256 MiB; a fragmented memory may give fewer.
    assert words == "small" or int(megabytes) > 0
