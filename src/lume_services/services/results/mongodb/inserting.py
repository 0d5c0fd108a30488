"""Documents on their way into a collection, each of them once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Final, NamedTuple

import bson
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from lume_services.errors import DuplicateResultError, ResultsDBError, SerializationError
from lume_services.services.results.documents import check_indexed, new_id
from lume_services.services.results.mongodb.connection import CODEC, Documents
from lume_services.services.results.mongodb.failures import is_duplicate
from lume_services.services.results.mongodb.narrowing import SEQUENCE
from lume_services.services.results.query import Document

__all__ = ["CLOCK", "Row", "insert", "messages", "new_row"]

_LARGEST: Final = 16 << 20
"""Bytes of a document, https://www.mongodb.com/docs/manual/reference/limits/#bson-documents."""
_MESSAGE: Final = 4 << 20
"""Bytes sent at a time: a slow line has to let them through before the socket times out."""
_TRIES: Final = 5


class Row(NamedTuple):
    """A document as it is sent."""

    name: str
    """Its ``_id``."""
    unique_hash: str | None
    sequence: int
    """Says its place in the order of insertion, and tells it from every other document."""
    bson: RawBSONDocument


class Clock:
    """Nanoseconds since 1970, a later number with each call."""

    def __init__(self) -> None:
        self._last = 0
        self.renew_lock()

    def renew_lock(self) -> None:
        """Make a new lock: in a child process nobody is left who would release the one there."""
        self._lock = Lock()

    def tick(self) -> int:
        """The time now, or the least time after the one given last."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last


CLOCK: Final = Clock()
"""That of this process."""
os.register_at_fork(after_in_child=CLOCK.renew_lock)


def new_row(document: Document, sequence: int) -> Row:
    """Make of a document what is sent.

    Raises:
        SerializationError: It holds what is no value, or is too large for MongoDB.
        ResultsDBError: It has another type under a name that has an index.
    """
    check_indexed(document)
    if SEQUENCE in document:
        raise SerializationError(f"The name {SEQUENCE!r} is kept for the order of insertion.")
    name = document.get("_id")
    if name is None:
        name = new_id()
    stored = {"_id": name, **document, SEQUENCE: sequence}
    stored["_id"] = name
    try:
        raw = bson.encode(stored, codec_options=CODEC)
    except SerializationError:
        raise
    except (InvalidDocument, OverflowError, ValueError, RecursionError) as error:
        raise SerializationError(f"The document cannot be stored: {error}") from error
    if len(raw) > _LARGEST:
        raise SerializationError(
            f"The document has {len(raw) / (1 << 20):.1f} MiB, and MongoDB takes "
            f"{_LARGEST >> 20}. Encode it first (lume_services.serialization.encode), or use "
            "Result: long values become blobs then."
        )
    return Row(name, document.get("unique_hash"), sequence, RawBSONDocument(raw))


def messages(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows as they are sent together; one that is large is alone."""
    some: list[Row] = []
    size = 0
    for row in rows:
        size += len(row.bson.raw)
        if some and size > _MESSAGE:
            yield some
            some, size = [], len(row.bson.raw)
        some.append(row)
    if some:
        yield some


def insert(target: Documents, rows: list[Row]) -> list[str]:
    """Store documents that are not there; may be called again with the same rows.

    Returns:
        The ids, one for each row: its own, or that of the document with its ``unique_hash``.

    Raises:
        DuplicateResultError: An id is taken; the other rows are stored.
        PyMongoError: The server is lost or refused.
    """
    stored: dict[str | None, str] = {}  # ids by unique_hash
    waiting = _first_of_each(rows)
    for _ in range(_TRIES):
        refused = _send(target, waiting)
        not_stored = {row.sequence for row in refused}
        stored |= {row.unique_hash: row.name for row in waiting if row.sequence not in not_stored}
        if not refused:
            return [
                row.name if row.unique_hash is None else stored[row.unique_hash] for row in rows
            ]
        waiting = _settle(target, refused, stored)
    raise ResultsDBError(
        f"{len(waiting)} documents were refused as duplicates of others that are not there: "
        f"see which unique indexes the collection {target.full_name!r} has."
    )


def _first_of_each(rows: Iterable[Row]) -> list[Row]:
    hashes: set[str] = set()
    first = []
    for row in rows:
        if row.unique_hash not in hashes:
            first.append(row)
        if row.unique_hash is not None:
            hashes.add(row.unique_hash)
    return first


def _send(target: Documents, rows: list[Row]) -> list[Row]:
    """Insert documents; those that were refused as duplicates."""
    if not rows:
        return []
    try:
        target.insert_many([row.bson for row in rows], ordered=False)
    except BulkWriteError as error:
        if not is_duplicate(error):
            raise
        return [rows[problem["index"]] for problem in error.details["writeErrors"]]
    return []


def _settle(target: Documents, refused: list[Row], stored: dict[str | None, str]) -> list[Row]:
    """Find the documents on account of which others were refused.

    Returns:
        Those for which there are none, which were deleted since.
    """
    hashes = [row.unique_hash for row in refused if row.unique_hash is not None]
    same = target.find({"unique_hash": {"$in": hashes}}, ["unique_hash"])
    stored |= {document["unique_hash"]: document["_id"] for document in same}
    rest = [row for row in refused if row.unique_hash is None or row.unique_hash not in stored]
    if not rest:
        return []
    there = target.find({"_id": {"$in": [row.name for row in rest]}}, [SEQUENCE])
    sequences = {document["_id"]: document.get(SEQUENCE) for document in there}
    for row in rest:
        # Its own place is that of a document sent before, whose acknowledgement was lost.
        if sequences.get(row.name, row.sequence) != row.sequence:
            raise DuplicateResultError(
                f"_id {row.name!r} is taken by another document in {target.name!r}."
            )
    return [row for row in rest if row.name not in sequences]
