"""A results database in memory, for tests: the contract at its plainest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lume_services._moments import as_stored
from lume_services.errors import BlobNotFoundError, DuplicateResultError, SerializationError
from lume_services.services.results.base import Document, ResultsDB

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["MemoryResultsDB"]


class MemoryResultsDB(ResultsDB):
    """Keeps documents and blobs as long as it lives, in one process.

    When a call of ``insert_many`` fails, nothing of it is stored.
    """

    def __init__(self) -> None:
        self._collections: dict[str, dict[str, Document]] = {}
        self._ids_by_hash: dict[str, dict[str, str]] = {}
        self._blobs: dict[str, bytes] = {}
        self._lock = Lock()

    @property
    def address(self) -> str:
        """``memory://``: no other process sees it."""
        return "memory://"

    def insert_many(self, collection: str, documents: Iterable[Document]) -> list[str]:
        """Store documents; storing the same result again changes nothing."""
        copies = [_copy(document) for document in documents]
        ids: list[str] = []
        new: dict[str, Document] = {}
        new_hashes: dict[str, str] = {}
        with self._lock:
            stored = self._collections.setdefault(collection, {})
            hashes = self._ids_by_hash.setdefault(collection, {})
            for document in copies:
                unique_hash = document.get("unique_hash")
                name = hashes.get(unique_hash) or new_hashes.get(unique_hash)
                if name is None:
                    name = document.pop("_id", None) or uuid4().hex
                    if name in stored or name in new:
                        raise DuplicateResultError(
                            f"_id {name!r} is taken by another document in {collection!r}."
                        )
                    new[name] = {"_id": name, **document}
                    if unique_hash is not None:
                        new_hashes[unique_hash] = name
                ids.append(name)
            stored.update(new)
            hashes.update(new_hashes)
        return ids

    def scan(self, collection: str | None) -> Iterator[Document]:
        """Every document of a collection, or of all, in insertion order."""
        with self._lock:
            names = list(self._collections) if collection is None else [collection]
            documents = [doc for name in names for doc in self._collections.get(name, {}).values()]
        yield from map(_copy, documents)

    def collections(self) -> list[str]:
        """Names of the collections that hold a document, sorted."""
        with self._lock:
            return sorted(name for name, documents in self._collections.items() if documents)

    def delete(self, collection: str, ids: Iterable[str]) -> int:
        """Remove documents by id; how many there were."""
        with self._lock:
            stored = self._collections.get(collection, {})
            removed = [stored.pop(name) for name in ids if name in stored]
            for document in removed:
                self._ids_by_hash[collection].pop(document.get("unique_hash", ""), None)
        return len(removed)

    def put_blob(self, data: Buffer) -> str:
        """Store bytes; their sha256 in lower-case hex."""
        copy = bytes(data)
        digest = sha256(copy).hexdigest()
        self._blobs[digest] = copy
        return digest

    def get_blob(self, digest: str) -> bytearray:
        """Read a blob."""
        try:
            return bytearray(self._blobs[digest])
        except KeyError:
            raise BlobNotFoundError(f"There is no blob {digest!r}.") from None


def _copy(value: Any) -> Any:
    """A value with everything in it copied, as any other store would give it back."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, datetime):
        return as_stored(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SerializationError(
        f"A document cannot hold a {type(value).__name__}: encode it first "
        "(lume_services.serialization.encode)."
    )
