"""``ResultsDBService``: the results database as the rest of the package, and users, ask for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lume_services.services.results.base import Document, Fields, Query, ResultsDB, Sort
from lume_services.services.results.delivery import Delivery
from lume_services.services.results.documents import (
    check_collection,
    check_document,
    identified,
)
from lume_services.services.results.outbox import Outbox, Sent
from lume_services.services.results.selection import Selection

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ResultsDBService"]


class ResultsDBService:
    """Stores and finds documents; what it promises is said in ``ResultsDB``.

    What no document holds it refuses itself, so that every store refuses the same. What the
    database does not take because it is away for now is kept in an outbox, of which a
    ``LUMEServicesWarning`` tells, and sent before the next document that can be stored.

    Args:
        results_db: The database.
        outbox: Folder of the outboxes, ``LUME_HOME/outbox``. Without one, or with a database that
            has no ``address`` of its own, storing while it is away raises
            ``ResultsDBUnavailableError``.
    """

    def __init__(self, results_db: ResultsDB, outbox: Path | None = None) -> None:
        self.results_db = results_db
        says_where = type(results_db).address is not ResultsDB.address
        self._outbox = Outbox(outbox, results_db.address) if outbox and says_where else None
        self._store = results_db if self._outbox is None else Delivery(results_db, self._outbox)

    def insert_one(self, collection: str, document: Document) -> str:
        """Store a document; the id of it, or of the same result stored before.

        Raises:
            SerializationError: A name or value in it is none that a document can hold.
            DuplicateResultError: Its ``_id`` is taken by another document.
            ResultsDBUnavailableError: The database is away, and it cannot be kept either.
            ResultsDBError: The collection has no name, or the database failed.
        """
        check_collection(collection)
        check_document(document)
        return self._store.insert_many(collection, [identified(collection, document)])[0]

    def insert_many(self, collection: str, documents: Iterable[Document]) -> list[str]:
        """Store documents in one go, each as ``insert_one`` does; their ids, in order.

        Nothing is stored when one of them is refused as no document.
        """
        check_collection(collection)
        documents = list(documents)
        for document in documents:
            check_document(document)
        named = [identified(collection, document) for document in documents]
        return self._store.insert_many(collection, named)

    def find(
        self,
        collection: str,
        query: Query | None = None,
        fields: Fields | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> list[Document]:
        """Documents that match a query; the arguments are those of ``ResultsDB.find``.

        Raises:
            UnsupportedQueryError: An argument asks for what is not understood.
        """
        return list(self.results_db.find(collection, query, fields, sort, limit, skip))

    def find_all(self, collection: str) -> list[Document]:
        """Every document of a collection, in insertion order."""
        return list(self.results_db.scan(collection))

    def find_one(
        self,
        collection: str,
        query: Query | None = None,
        fields: Fields | None = None,
        sort: Sort | None = None,
    ) -> Document | None:
        """The first document that matches, or None."""
        return next(self.results_db.find(collection, query, fields, sort, limit=1), None)

    def count(self, collection: str, query: Query | None = None) -> int:
        """How many documents match."""
        return self.results_db.count(collection, query)

    def distinct(self, collection: str, field: str, query: Query | None = None) -> list[Any]:
        """The different values at a path among the documents that match, in BSON order."""
        return self.results_db.distinct(collection, field, query)

    def collections(self) -> list[str]:
        """Names of the collections that hold a document, sorted."""
        return self.results_db.collections()

    def delete(self, collection: str, ids: Iterable[str]) -> int:
        """Remove documents by id; how many there were."""
        return self.results_db.delete(collection, ids)

    def put_blob(self, data: Buffer) -> str:
        """Store bytes; their sha256 in lower-case hex."""
        return self._store.put_blob(data)

    def get_blob(self, digest: str) -> Buffer:
        """Read a blob, one that waits in the outbox too.

        Raises:
            BlobNotFoundError: There is none of that digest.
            CorruptBlobError: What is stored does not have that digest.
        """
        return self._store.get_blob(digest)

    def collect_orphans(self, older_than_s: float) -> tuple[int, int]:
        """Delete blobs that no document refers to; how many, and their bytes."""
        return self.results_db.collect_orphans(older_than_s)

    def find_waiting(self, collection: str, query: Query | None = None) -> list[Document]:
        """Documents in the outbox that match a query; ``find`` does not see them."""
        if self._outbox is None:
            return []
        return list(Selection(query, None, None, None, 0).apply(self._outbox.documents(collection)))

    def flush(self) -> Sent:
        """Send what waits in the outbox for this database.

        Raises:
            ResultsDBUnavailableError: The database is still away.
        """
        return Sent() if self._outbox is None else self._outbox.send(self.results_db)
