"""``MongodbResultsDB``: a collection for each project, blobs in GridFS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, cast

from bson.objectid import ObjectId
from pymongo import IndexModel

from lume_services.errors import ConfigurationError, DuplicateResultError
from lume_services.services.results.base import Document, Fields, Query, Sort
from lume_services.services.results.blob_keeping import KeepsBlobs
from lume_services.services.results.blobs import BlobFolder
from lume_services.services.results.mongodb.blobs import GridBlobs
from lume_services.services.results.mongodb.connection import Connection, MongoDatabase
from lume_services.services.results.mongodb.indexes import DOCUMENTS, Indexes
from lume_services.services.results.mongodb.inserting import (
    CLOCK,
    Row,
    insert,
    messages,
    new_row,
)
from lume_services.services.results.mongodb.names import collection_name, project_name
from lume_services.services.results.mongodb.narrowing import (
    is_of_one,
    made_ids,
    narrow,
    ordering,
    projection,
)
from lume_services.services.results.mongodb.reading import Reading, read
from lume_services.services.results.query import is_unicode, split_path
from lume_services.services.results.selection import Selection, distinct_values
from lume_services.services.results.settings import ResultsDBConfig

__all__ = ["MongodbResultsDB"]

_DELETED_AT_ONCE: Final = 10_000
_BLOB_REFERENCE: Final = re.compile(rb"\x02%blob\x00\x41\x00\x00\x00([0-9a-f]{64})\x00")
"""The field ``%blob`` with a text of 64 bytes, https://bsonspec.org/spec.html."""


class MongodbResultsDB(KeepsBlobs):
    """Keeps documents in a MongoDB database, and blobs in its GridFS or in a shared folder.

    Nothing is connected before it is first used. Safe with threads, forks, and any number of
    processes and machines. What is acknowledged is in the journals of a majority of the servers,
    and is seen by whoever reads afterwards. A server that goes away is waited for, for
    ``LUME_RESULTS_DB__CONNECTION__RETRY_S``; a call that then fails may have stored any part of
    what it was given, each document whole or not at all, and is repeated without harm.

    When ``insert_many`` raises ``DuplicateResultError``, the others of the call are stored.

    Insertion order is that of the clocks of the machines that insert: exact in one process, and
    between machines as exact as their clocks.

    Args:
        config: Where the database is: ``url``, or its parts; further how long to wait, encryption,
            and a folder for blobs.

    Raises:
        ConfigurationError: The settings name no database.
    """

    def __init__(self, config: ResultsDBConfig) -> None:
        self._connection = Connection(config)
        self._indexes = Indexes()
        self.blobs: BlobFolder | GridBlobs = (
            GridBlobs(self._connection, self._indexes)
            if config.blobs is None
            else BlobFolder(config.blobs)
        )

    @classmethod
    def from_settings(cls, config: ResultsDBConfig | None, *, home: Path) -> Self:
        """Make the store that the ``LUME_RESULTS_DB__…`` settings describe.

        Raises:
            ConfigurationError: They name no database.
        """
        if config is None:
            raise ConfigurationError("LUME_RESULTS_DB__URL is not set: no MongoDB server is named.")
        return cls(config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def address(self) -> str:
        """``mongodb://host:port/database``."""
        return self._connection.place.address

    # --- Documents -------------------------------------------------------------------------------

    def insert_many(self, collection: str, documents: Iterable[Document]) -> list[str]:
        """Store documents; storing the same result again changes nothing."""
        name = self._collection_name(collection)
        rows = [new_row(document, CLOCK.tick()) for document in documents]
        ids: list[str] = []
        taken: DuplicateResultError | None = None
        for some in messages(rows):
            try:
                ids += self._connection.run(partial(self._insert, name, some))
            except DuplicateResultError as error:
                taken = taken or error
        if taken is not None:
            raise taken
        return ids

    def scan(self, collection: str | None) -> Iterator[Document]:
        """Every document of a collection, or of all, in insertion order, read by batches."""
        for project in [collection] if collection is not None else self.collections():
            reading = Reading(self._collection_name(project), {}, ordering(None))
            yield from read(self._connection, reading)

    def find(
        self,
        collection: str,
        query: Query | None = None,
        fields: Fields | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> Iterator[Document]:
        """Documents that match a query, as ``ResultsDB.find`` says.

        The server leaves out those whose numbers, text, booleans and dates do not compare, and
        what is not in ``fields``; it sorts by names that have an index, but for ``_id``.
        """
        selection = Selection(query, fields, sort, limit, skip)
        where, order = narrow(selection.query), ordering(sort)
        ordered = not sort or len(order) > 1
        reading = Reading(
            self._collection_name(collection),
            where,
            [] if is_of_one(where) else order,
            projection(fields, selection.query, sort),
            # One more than wanted, or the server does not see that this is all.
            at_once=0 if limit is None or not ordered else skip + limit + 1,
        )
        documents = read(self._connection, reading)
        return selection.apply(documents, ordered=ordered)

    def count(self, collection: str, query: Query | None = None) -> int:
        """How many documents match."""
        if query:
            return sum(1 for _ in self.find(collection, query, fields=[]))
        name = self._collection_name(collection)
        return self._connection.run(lambda database: database[name].count_documents({}))

    def distinct(self, collection: str, field: str, query: Query | None = None) -> list[Any]:
        """The different values at a path, those of arrays one by one, in BSON order."""
        root = [field.partition(".")[0]] if isinstance(field, str) else None
        return distinct_values(self.find(collection, query, fields=root), field)

    def collections(self) -> list[str]:
        """Names of the collections that hold a document, sorted."""
        return self._connection.run(
            lambda database: sorted(
                project
                for name, project in _projects(database).items()
                if database[name].find_one({}, ["_id"]) is not None
            )
        )

    def delete(self, collection: str, ids: Iterable[str]) -> int:
        """Remove documents by id; how many there were."""
        name = self._collection_name(collection)
        texts = [text for text in ids if is_unicode(text)]
        wanted: list[str | ObjectId] = [*texts, *made_ids(texts)]

        def delete(some: list[str | ObjectId], database: MongoDatabase) -> int:
            return database[name].delete_many({"_id": {"$in": some}}).deleted_count

        return sum(
            self._connection.run(partial(delete, wanted[start : start + _DELETED_AT_ONCE]))
            for start in range(0, len(wanted), _DELETED_AT_ONCE)
        )

    def create_index(self, collection: str, fields: Iterable[str]) -> None:
        """Let the server keep an index of each of these paths."""
        name = self._collection_name(collection)
        indexes = [IndexModel(".".join(split_path(path))) for path in fields]
        self._connection.run(lambda database: database[name].create_indexes(indexes))

    def version(self) -> str:
        """The version of the server."""
        found = self._connection.run(lambda database: database.client.server_info()["version"])
        return f"MongoDB {found}"

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._indexes.forget()
        self._connection.close()

    def _blob_references(self) -> set[str]:
        return self._connection.run(_blob_references)

    def _collection_name(self, project: str) -> str:
        return collection_name(project, self._connection.place.database)

    def _insert(self, name: str, rows: list[Row], database: MongoDatabase) -> list[str]:
        self._indexes.ensure(database[name], DOCUMENTS)
        return insert(database[name], rows)


def _projects(database: MongoDatabase) -> dict[str, str]:
    """Names of the collections that hold documents, with the projects that these belong to."""
    names = {name: project_name(name, database.name) for name in database.list_collection_names()}
    return {name: project for name, project in names.items() if project is not None}


def _blob_references(database: MongoDatabase) -> set[str]:
    """The digests in all documents."""
    return {
        digest.decode()
        for name in _projects(database)
        for batch in database[name].find_raw_batches()
        for digest in _BLOB_REFERENCE.findall(cast(bytes, batch))
    }
