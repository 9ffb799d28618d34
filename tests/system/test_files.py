"""Publishing a file: whole or not at all, and what is no file is not replaced."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from mglubench.system.files import publish


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")
    publish(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.json"]


def test_what_is_no_file_is_written_to_and_stays(tmp_path):
    """As root, a rename onto /dev/null would take it from everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    publish(pipe, "words")
    reader.join(10)
    assert heard == ["words"]
    assert pipe.is_fifo()


def test_a_link_to_a_device_stays_a_link(tmp_path):
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    publish(link, "words")
    assert link.is_symlink()


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        publish(tmp_path / "folder", "words")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_began_goes_with_the_next_one_that_ends(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    node = os.uname().nodename[:32]
    begun = [f".a.json.{node}.{gone.pid}", f".a.json.{node}.{os.getppid()}", f".a.json.other.{gone.pid}", ".a.json.x"]
    for name in begun:
        (tmp_path / name).write_text("half")
    publish(tmp_path / "a.json", "whole")
    kept = {"a.json", *begun[1:]}
    assert {path.name for path in tmp_path.iterdir()} == kept
