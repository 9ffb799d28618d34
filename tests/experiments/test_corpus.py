"""What is trained on, chosen by and held out: apart by content, and fetched whole or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from mglubench.errors import UnavailableError, UsageError
from mglubench.experiments import fetch_text
from mglubench.experiments.corpus import corpus_of, read_corpus
from mglubench.system.process import Ended
from tests.conftest import ROOT

TEXT = ROOT / "tests" / "fixtures" / "small_text.txt"
DOCUMENTS = [f"document {number} says {'one word ' * (number + 4)}".encode() for number in range(40)]


def parts(corpus):
    return [part.tobytes() for part in (corpus.train, corpus.validation, corpus.heldout)]


def test_what_is_there_twice_counts_once_and_no_document_is_in_two_parts():
    corpus = corpus_of([*DOCUMENTS, *DOCUMENTS[:30], b"  \n"], "text", 8)
    assert corpus.documents == 40
    pieces = [part.split(b"\n") for part in parts(corpus)]
    assert [len(piece) for piece in pieces] == [36, 2, 2]
    assert sorted(document for piece in pieces for document in piece) == sorted(DOCUMENTS)


def test_the_parts_follow_from_the_content_alone(tmp_path):
    for number, document in enumerate(reversed(DOCUMENTS)):
        (tmp_path / f"{number}.rst").write_bytes(document)
    assert parts(read_corpus(tmp_path, 8)) == parts(corpus_of(DOCUMENTS, "text", 8))
    assert read_corpus(tmp_path, 8).sha256 == corpus_of(DOCUMENTS, "text", 8).sha256


def test_of_one_file_the_end_is_held_out():
    text = TEXT.read_bytes()
    train, validation, heldout = parts(read_corpus(TEXT, 16))
    assert train + validation + heldout == text
    assert len(validation) == len(heldout) == len(text) // 20


@pytest.mark.parametrize("context", [64, 4000])
def test_too_little_text_is_told(context):
    with pytest.raises(UsageError, match=r"small_text.txt: \d+ bytes .*--context \d+ needs \d+; give more text"):
        read_corpus(TEXT, context)


def test_no_text_is_told(tmp_path):
    with pytest.raises(UsageError, match="nowhere cannot be read: No such file"):
        read_corpus(tmp_path / "nowhere", 8)
    with pytest.raises(UsageError, match="0 bytes to train on"):
        read_corpus(tmp_path, 8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, and a way to offer an archive as the one that is asked for."""
    monkeypatch.setattr(fetch_text, "cache_folder_of_user", lambda: tmp_path)
    monkeypatch.setattr(fetch_text, "run_process", lambda *a, **k: Ended(1, "", "no network"))

    def offer(members, *, good=True):
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w:gz") as archive:
            for name, text in members.items():
                about = tarfile.TarInfo(name)
                about.size = len(text)
                archive.addfile(about, io.BytesIO(text))
        data = whole.getvalue()
        monkeypatch.setattr(fetch_text, "SHA256", hashlib.sha256(data if good else b"").hexdigest())
        return data

    return offer


def test_offline_is_one_line(cache, tmp_path):
    with pytest.raises(UnavailableError, match=r"Django 5.2 cannot be fetched with pip: no network; give .* --text"):
        read_corpus(None, 8)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_documentation_is_fetched_once(cache, monkeypatch, tmp_path):
    documents = {f"Django-5.2/docs/{n}.txt": text for n, text in enumerate(DOCUMENTS)}
    others = {
        "Django-5.2/django/x.txt": b"code",
        "Django-5.2/docs/_theme/LICENSE.txt": b"font",
        "Django-5.2/docs/a.py": b"",
    }
    data = cache({**documents, **others})
    asked = []

    def pip(command, seconds, **options):
        asked.append(command)
        (Path(command[command.index("-d") + 1]) / "Django-5.2.tar.gz").write_bytes(data)
        return Ended(0, "", "")

    monkeypatch.setattr(fetch_text, "run_process", pip)
    assert parts(read_corpus(None, 8)) == parts(corpus_of(DOCUMENTS, "text", 8)) == parts(read_corpus(None, 8))
    assert len(asked) == 1
    assert "--require-hashes" in asked[0]
    assert [path.name for path in (tmp_path / "text").iterdir()] == ["Django-5.2.tar.gz"]


def test_another_archive_of_that_name_is_refused(cache, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "Django-5.2.tar.gz").write_bytes(cache({"Django-5.2/docs/a.txt": b"a"}, good=False))
    with pytest.raises(UnavailableError, match="is not the archive of that name; delete it"):
        read_corpus(None, 8)
