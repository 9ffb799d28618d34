"""A folder that cannot be locked: one line that names the file, and nothing left behind."""

from __future__ import annotations

import errno
import os

import pytest
from filelock import FileLock

from mglubench.errors import StoreError, UsageError
from mglubench.results.store import RunStore
from mglubench.system.lines import take_lock
from mglubench.system.notebook import Notebook


@pytest.fixture
def refusing(monkeypatch):
    """Locks that make their file and then fail, as on a network file system."""

    def install(error):
        def acquire(self, timeout=None):
            with open(self.lock_file, "w"):  # noqa: PTH123
                pass
            raise error

        monkeypatch.setattr(FileLock, "acquire", acquire)

    return install


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)), "No locks available"),
        (OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)), "Operation not supported"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (NotImplementedError("FileSystem does not appear to support flock"), "its file system has no locks"),
    ],
)
def test_a_lock_that_the_file_system_refuses_names_the_file(tmp_path, refusing, error, words):
    refusing(error)
    with pytest.raises(UsageError) as caught:
        RunStore.create(tmp_path / "run", {"name": "x"})
    assert str(caught.value).startswith(f"{tmp_path / 'run' / '.lock'} cannot be locked: {words}; choose another --out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError):
        RunStore.create(tmp_path / "mine", {"name": "x"})
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_in_which_no_file_can_be_made_is_no_matter_of_locks(tmp_path, refusing):
    refusing(PermissionError(errno.EACCES, "Permission denied"))
    with pytest.raises(PermissionError):
        take_lock(tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_a_notebook_that_cannot_be_locked_is_not_kept(tmp_path, refusing, monkeypatch, error):
    monkeypatch.setenv("MGLUBENCH_THINGS", str(tmp_path / "things.json"))
    refusing(error)
    book = Notebook("things.json", "MGLUBENCH_THINGS", "things", 1, "table of things", "look again")
    with pytest.raises(StoreError, match=r"things\.json cannot be written: .*; set MGLUBENCH_THINGS to another file"):
        book.change(lambda things: things)
