"""A text as bytes, in three parts: to train on, to choose learning rates by, and held out for what is reported.

Documents are told apart by their content: what is there twice counts once, so that nothing held out was trained on.
Which part a document belongs to follows from its hash, whatever its name and place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.errors import UsageError
from mglubench.experiments.fetch_text import LICENCE, NAME, VERSION, django_documents

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

# One in so many documents is held out, as many are for choosing; of fewer documents, so much of the text's end.
SHARE = 20
FEWEST = 3
VOCABULARY = 256


@dataclass(frozen=True)
class CorpusRecord:
    """The same without the text; ``bytes`` by part."""

    name: str
    documents: int
    sha256: str
    bytes: dict[str, int]


@dataclass(frozen=True)
class Corpus:
    """A text.

    Attributes:
        name: what it is. documents: distinct ones. sha256: of all parts. train, validation, heldout: bytes.
    """

    name: str
    documents: int
    sha256: str
    train: Bytes
    validation: Bytes
    heldout: Bytes

    def part(self, name: str) -> Bytes:
        """``validation`` or ``heldout``."""
        return self.validation if name == "validation" else self.heldout

    def record(self) -> CorpusRecord:
        """What a run's header says of it."""
        sizes = {part: len(getattr(self, part)) for part in ("train", "validation", "heldout")}
        return CorpusRecord(self.name, self.documents, self.sha256, sizes)


def read_corpus(given: Path | None, context: int) -> Corpus:
    """Django's documentation, or the text in a file or below a folder.

    Args:
        context: bytes that a part must have more of.

    Raises:
        UsageError: no such text, or too little of it. UnavailableError: Django's cannot be fetched.
    """
    if given is None:
        return corpus_of(django_documents(), f"{NAME} {VERSION}, docs ({LICENCE})", context)
    return corpus_of(_own_documents(given), str(given), context)


def corpus_of(documents: Sequence[bytes], name: str, context: int) -> Corpus:
    """The distinct documents in three parts."""
    import numpy as np

    distinct = sorted({hashlib.sha256(text).digest(): text for text in documents if text.strip()}.items())
    texts = [text for _, text in distinct]
    parts = [np.frombuffer(part, dtype=np.uint8) for part in _parts(texts)]
    for part, what in zip(parts, ("to train on", "to choose learning rates by", "to hold out"), strict=True):
        if len(part) < 2 * (context + 1):
            raise UsageError(
                f"{name}: {len(part)} bytes {what}, and a model with --context {context} needs {2 * (context + 1)}; "
                "give more text"
            )
    total = hashlib.sha256(b"".join(digest for digest, _ in distinct)).hexdigest()
    return Corpus(name, len(texts), total, *parts)


def _parts(texts: Sequence[bytes]) -> tuple[bytes, bytes, bytes]:
    if len(texts) >= FEWEST:
        count = max(1, len(texts) // SHARE)
        pieces = (texts[2 * count :], texts[:count], texts[count : 2 * count])
        return tuple(b"\n".join(piece) for piece in pieces)  # type: ignore[return-value]
    text = b"\n".join(texts)
    size = len(text) // SHARE
    return text[: len(text) - 2 * size], text[len(text) - 2 * size : len(text) - size], text[len(text) - size :]


def _own_documents(given: Path) -> list[bytes]:
    try:
        if given.is_dir():
            return [path.read_bytes() for path in sorted(given.rglob("*")) if path.is_file()]
        return [given.read_bytes()]
    except OSError as error:
        raise UsageError(f"{given} cannot be read: {error.strerror or error}") from None
