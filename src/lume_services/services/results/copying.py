"""Documents and blobs from one store to another, each checked, so that it can be done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lume_services.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    DuplicateResultError,
    LUMEServicesError,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.serialization import GetBlob, blob_digests, canonical_hash
from lume_services.services.results.base import Document, ResultsDB

__all__ = ["Copied", "Refused", "copy_blob", "copy_results", "store_each"]

_REFUSALS = (ResultsDBError, SerializationError)
_BLOB_PROBLEMS = (*_REFUSALS, BlobNotFoundError)
_BATCH = 200
_BATCH_BYTES = 16 << 20


class Refused(NamedTuple):
    """A document that is not stored where it was to go."""

    collection: str
    id: str
    reason: str


@dataclass
class Copied:
    """What came of a copy."""

    copied: int = 0
    """Documents that were stored, read back and found equal."""
    already_there: int = 0
    """Documents that the target had."""
    blobs: int = 0
    """Blobs that were stored and read back."""
    blob_bytes: int = 0
    """Their size."""
    refused: list[Refused] = field(default_factory=list)
    """What was not copied, and why."""


def copy_results(
    source: ResultsDB,
    target: ResultsDB,
    collections: Sequence[str] | None = None,
    *,
    check: Callable[[Document], str | None] = lambda document: None,
    advance: Callable[[int], object] = lambda documents: None,
) -> Copied:
    """Copy documents, in their order and under their ids, and the blobs that they refer to.

    Blobs go before the documents that refer to them. Every blob is checked against its digest when
    it is read and again in the target; every document is read back and compared. What the target
    has is left as it is, so that a copy that was interrupted can be started again.

    At any time one batch of documents, of at most 16 MB or a single one, and one blob are held.

    Args:
        source: Where from; others may be writing to it.
        target: Where to, likewise.
        collections: Which; all when None.
        check: Says what is wrong with a document, or None; one with a problem is not copied.
        advance: Called with the number of documents dealt with.

    Returns:
        The counts, and what was not copied.

    Raises:
        ResultsDBUnavailableError: One of them is away; start again when it is back.
    """
    result = Copied()
    copy = _Copy(source, target, check, result)
    for collection in source.collections() if collections is None else collections:
        for batch in _batches(source.scan(collection)):
            copy.batch(collection, batch)
            advance(len(batch))
    return result


def store_each(
    target: ResultsDB, collection: str, documents: Sequence[Document]
) -> list[str | LUMEServicesError]:
    """Store documents that have an ``_id``; one that is refused does not keep out the others.

    Returns:
        For each document its id, as ``insert_many`` gives it, or the error of the store. A
        document that is there under its ``_id`` and equal was stored by an earlier call.

    Raises:
        ResultsDBUnavailableError: The store is away; some of them may be stored.
    """
    try:
        return list(target.insert_many(collection, documents))
    except ResultsDBUnavailableError:
        raise
    except _REFUSALS:
        return [_store(target, collection, document) for document in documents]


def copy_blob(digest: str, get_blob: GetBlob, target: ResultsDB) -> int:
    """Store a blob in another place; its size in bytes.

    Raises:
        BlobNotFoundError: There is none of that digest.
        CorruptBlobError: What was read, or what the target understood, has another digest.
        ResultsDBError: The target refused it or failed.
    """
    data = get_blob(digest)
    if (stored := target.put_blob(data)) != digest:
        raise CorruptBlobError(f"{target.address} stored the blob {digest} as {stored}.")
    return memoryview(data).nbytes


class _Copy:
    """One copy, batch by batch."""

    def __init__(
        self,
        source: ResultsDB,
        target: ResultsDB,
        check: Callable[[Document], str | None],
        result: Copied,
    ) -> None:
        self.source = source
        self.target = target
        self.check = check
        self.result = result
        self._blobs: set[bytes] = set()

    def batch(self, collection: str, documents: list[Document]) -> None:
        new = [
            document
            for document in self._not_there(collection, documents)
            if (problem := self._problem(document)) is None
            or self._refuse(collection, document, problem)
        ]
        outcomes = store_each(self.target, collection, new)
        stored = {}
        for document, outcome in zip(new, outcomes, strict=True):
            if isinstance(outcome, LUMEServicesError):
                self._refuse(collection, document, str(outcome))
            elif outcome != document["_id"]:  # somebody stored the same result meanwhile
                self.result.already_there += 1
            else:
                stored[outcome] = document
        self._compare(collection, stored)

    def _not_there(self, collection: str, documents: list[Document]) -> Iterator[Document]:
        hashes = [document["unique_hash"] for document in documents if _has_hash(document)]
        query = {"unique_hash": {"$in": hashes}}
        found = self.target.find(collection, query, ["unique_hash"]) if hashes else ()
        known = {document["unique_hash"] for document in found}
        others = [document["_id"] for document in documents if not _has_hash(document)]
        same = self._read(collection, others)
        for document in documents:
            there = same.get(document["_id"])
            if document.get("unique_hash") in known or (
                there is not None and _equal(there, document)
            ):
                self.result.already_there += 1
            else:
                yield document

    def _problem(self, document: Document) -> str | None:
        """What is wrong with a document; if nothing, its blobs have been copied."""
        try:
            if (problem := self.check(document)) is not None:
                return problem
            for digest in sorted(blob_digests(document)):
                self._copy_blob(digest)
        except ResultsDBUnavailableError:
            raise
        except _BLOB_PROBLEMS as error:
            return str(error)
        return None

    def _copy_blob(self, digest: str) -> None:
        if (key := digest.encode()) in self._blobs:
            return
        size = copy_blob(digest, self.source.get_blob, self.target)
        self.target.get_blob(digest)  # which checks it
        self._blobs.add(key)
        self.result.blobs += 1
        self.result.blob_bytes += size

    def _compare(self, collection: str, stored: dict[str, Document]) -> None:
        found = self._read(collection, list(stored))
        for name, document in stored.items():
            if name in found and _equal(found[name], document):
                self.result.copied += 1
            else:
                self._refuse(collection, document, "it does not come back as it was stored")

    def _read(self, collection: str, ids: list[str]) -> dict[str, Document]:
        found = self.target.find(collection, {"_id": {"$in": ids}}) if ids else ()
        return {document["_id"]: document for document in found}

    def _refuse(self, collection: str, document: Document, reason: str) -> bool:
        self.result.refused.append(Refused(collection, document["_id"], reason))
        return False


def _store(target: ResultsDB, collection: str, document: Document) -> str | LUMEServicesError:
    try:
        return target.insert_one(collection, document)
    except ResultsDBUnavailableError:
        raise
    except DuplicateResultError as error:
        there = next(target.find(collection, {"_id": document["_id"]}), None)
        return str(document["_id"]) if there is not None and _equal(there, document) else error
    except _REFUSALS as error:
        return error


def _has_hash(document: Document) -> bool:
    return isinstance(document.get("unique_hash"), str)


def _equal(one: Document, other: Document) -> bool:
    return canonical_hash(one) == canonical_hash(other)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    weight = 0
    for document in documents:
        size = _weight(document)
        if batch and (len(batch) >= _BATCH or weight + size > _BATCH_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(document)
        weight += size
    if batch:
        yield batch


def _weight(value: object) -> int:
    """About how many bytes a document takes."""
    if isinstance(value, dict):
        return sum(len(name) + _weight(item) for name, item in value.items())
    if isinstance(value, list):
        return sum(map(_weight, value))
    return len(value) if isinstance(value, str | bytes) else 8
