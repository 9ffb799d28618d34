"""The documentation of Django as a text to train on: out of the source package of a registry, fetched once.

The package is Django 5.2's source distribution. Its licence is the BSD licence with three clauses, which lets anybody
use and copy it under its notice; nothing of it is part of this project. pip is told the archive's hash, and it is
checked again whenever the text is read.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
import tempfile
from pathlib import Path

from mglubench.errors import UnavailableError
from mglubench.system.process import run_process
from mglubench.system.user_folders import cache_folder_of_user

NAME, VERSION = "Django", "5.2"
ARCHIVE = f"{NAME}-{VERSION}.tar.gz"
SHA256 = "1a47f7a7a3d43ce64570d350e008d2949abe8c7e21737b351b6a1611277c6d89"
LICENCE = "BSD-3-Clause"
SECONDS = 600.0
INSTEAD = "give a text of your own with --text FILE or FOLDER"


def django_documents() -> list[bytes]:
    """The .txt files of Django's documentation, in the order of the archive.

    Raises:
        UnavailableError: it is not in the cache and cannot be fetched, or is not what it should be.
    """
    path = _archive()
    try:
        with tarfile.open(path) as archive:
            wanted = (m for m in archive if m.isfile() and m.name.startswith(f"{NAME}-{VERSION}/docs/"))
            texts = [m for m in wanted if m.name.endswith(".txt") and "/_theme/" not in m.name]
            found = [file.read() for m in texts if (file := archive.extractfile(m))]
    except (OSError, tarfile.TarError) as error:
        raise UnavailableError(f"{path} cannot be read: {error}; delete it, or {INSTEAD}") from None
    return found


def _archive() -> Path:
    try:
        folder = cache_folder_of_user() / "text"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ARCHIVE
        if not path.exists():
            _fetch(path)
        if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
            raise UnavailableError(f"{path} is not the archive of that name; delete it, or {INSTEAD}")
    except OSError as error:
        raise UnavailableError(f"no text can be kept: {error}; {INSTEAD}") from None
    return path


def _fetch(path: Path) -> None:
    """Have pip download the archive beside ``path`` and rename it, so that it is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as name:
        folder = Path(name)
        (folder / "asked").write_text(f"{NAME}=={VERSION} --hash=sha256:{SHA256}\n")
        options = ("--disable-pip-version-check", "--no-deps", "--no-binary", ":all:", "--require-hashes")
        patience = ("--retries", "1", "--timeout", "15")
        done = run_process(
            [sys.executable, "-m", "pip", "download", *options, *patience, "-r", str(folder / "asked"), "-d", name],
            SECONDS,
            env={"PIP_NO_INPUT": "1"},
        )
        if done.code != 0 or not (folder / ARCHIVE).exists():
            raise UnavailableError(f"{NAME} {VERSION} cannot be fetched with pip: {done.said()}; {INSTEAD}")
        (folder / ARCHIVE).replace(path)
