"""Files of documents that wait.

A line with the collection and their number, then two lines for each document: the text and the raw
bytes of its row (see ``sqlite.rows``), these in base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lume_services.errors import SerializationError
from lume_services.services._atomic import replacing
from lume_services.services.results.query import Document
from lume_services.services.results.sqlite.rows import Decoder, encode

__all__ = ["count", "read", "write"]

_NO_BYTES: Final = "-"
_DAMAGED: Final = (
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
)
"""What reading something else than was written may end in."""


def write(path: Path, collection: str, documents: Sequence[Document]) -> None:
    """Make a file of documents, which is there as a whole or not at all.

    Raises:
        SerializationError: A value is none that a document can hold.
        OSError: The disk is full, or the like.
    """
    with replacing(path) as new, new.open("w", encoding="ascii") as file:
        print(json.dumps({"collection": collection, "documents": len(documents)}), file=file)
        for document in documents:
            text, raw = encode(document)
            print(text, file=file)
            print(_NO_BYTES if raw is None else base64.b64encode(raw).decode(), file=file)


def read(path: Path) -> tuple[str, list[Document]]:
    """The collection, and the documents.

    Raises:
        SerializationError: The file is damaged, or cannot be read.
        FileNotFoundError: There is no such file.
    """
    decode = Decoder().decode
    try:
        header, *lines = path.read_text(encoding="ascii").splitlines()
        facts = json.loads(header)
        documents = [
            decode(text, None if raw == _NO_BYTES else base64.b64decode(raw, validate=True))
            for text, raw in zip(lines[::2], lines[1::2], strict=True)
        ]
        if len(documents) != facts["documents"]:
            raise ValueError("not all documents are there")
        if not all(isinstance(document.get("_id"), str) for document in documents):
            raise ValueError("a document has no id")
        return facts["collection"], documents
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SerializationError(f"{path} cannot be read: {error.strerror}.") from error
    except _DAMAGED as error:
        raise SerializationError(
            f"{path} is damaged ({error}): what is left of it is JSON text, two lines a result."
        ) from error


def count(path: Path) -> int:
    """How many documents are in a file; one where that cannot be read."""
    try:
        with path.open(encoding="ascii") as file:
            return int(json.loads(file.readline())["documents"])
    except FileNotFoundError:
        return 0
    except (OSError, *_DAMAGED):
        return 1
