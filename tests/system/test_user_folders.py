"""Where a user's files are when there is no home: nothing is kept, nothing is written beside, nothing fails."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs
import pytest

from mglubench.errors import StoreError, UsageError
from mglubench.system import strict_json
from mglubench.system.notebook import Notebook
from mglubench.system.user_folders import cache_folder_of_user, data_folder_of_user

BOOK = Notebook("things.json", "MGLUBENCH_THINGS", "things", 1, "table of things", "look again")


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A process of a user without an entry in the password file, in a folder of its own."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "USER", "LOGNAME", "XDG_DATA_HOME", "XDG_CACHE_HOME", BOOK.variable):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_without_a_home_nothing_is_kept_and_no_folder_named_tilde_is_made(homeless):
    assert data_folder_of_user() is None
    assert BOOK.path() is None
    assert BOOK.read() == {}
    with pytest.raises(
        StoreError, match="no home is known to keep a table of things in; set MGLUBENCH_THINGS to a file"
    ):
        BOOK.change(lambda things: things)
    assert list(Path().iterdir()) == []


def test_an_empty_home_is_none(homeless, monkeypatch):
    monkeypatch.setenv("HOME", "")
    assert data_folder_of_user() is None
    monkeypatch.setenv("XDG_DATA_HOME", str(homeless / "data"))
    assert data_folder_of_user() == homeless / "data" / "mglubench"


def test_a_library_that_finds_no_home_may_say_so_in_any_way(homeless, monkeypatch):
    def refuse(name):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(platformdirs, "user_data_dir", refuse)
    assert data_folder_of_user() is None


def test_without_a_home_the_cache_is_a_temporary_folder_of_ones_own(homeless):
    folder = cache_folder_of_user()
    assert folder == homeless / "tmp" / f"mglubench-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache_folder_of_user() == folder
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="is not this user's own"):
        cache_folder_of_user()
    folder.rmdir()
    folder.symlink_to(homeless / "here")
    with pytest.raises(PermissionError, match="is not this user's own"):
        cache_folder_of_user()


def test_a_home_that_is_none_holds_nothing(homeless, monkeypatch):
    (homeless / "file").write_text("")
    monkeypatch.setenv("HOME", str(homeless / "file"))
    assert BOOK.read() == {}
    with pytest.raises(StoreError, match="set MGLUBENCH_THINGS to another file"):
        BOOK.change(lambda things: things)


def test_a_home_of_somebody_else_is_not_read_but_a_file_that_was_named_must_be(homeless, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(strict_json, "open_file", refuse)
    monkeypatch.setenv("HOME", str(homeless))
    assert BOOK.read() == {}
    monkeypatch.setenv(BOOK.variable, str(homeless / "named.json"))
    with pytest.raises(UsageError, match=r"named\.json is not a table of things: .*Permission denied"):
        BOOK.read()
