"""``ResultsDB``: what a results database promises, whatever it is built on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lume_services.errors import BlobNotFoundError, ConfigurationError, ResultsDBError
from lume_services.services.results.projection import Fields
from lume_services.services.results.query import Document
from lume_services.services.results.selection import Query, Selection, Sort, distinct_values
from lume_services.services.results.settings import ResultsDBConfig

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Document", "Fields", "Query", "ResultsDB", "Sort"]


class ResultsDB(ABC):
    """Stores documents in collections, and blobs beside them.

    A store of your own subclasses this and writes five methods: ``insert_many``, ``scan``,
    ``delete``, ``put_blob`` and ``get_blob``. Everything else works over these; override what your
    database does faster, with the same answers. ``lume_services.testing.ResultsDBConformance``
    holds a test of every promise made here: subclass it, supply a ``results_db`` fixture. Worth
    overriding in any case is ``address``, which tells one place that your store is at from another.

    **Documents** are dicts of names to values. A value is None, a bool, an int of 64 bits, a float
    (NaN and infinities included), a str, bytes, a datetime (aware, UTC, whole milliseconds), or a
    list or dict of such values. A store gives back an equal value of the same type: ints stay ints,
    ``-0.0`` and NaN stay what they are, dicts keep their order. Names are not empty, hold neither
    ``.`` nor NUL and do not start with ``$``; those that start with ``%`` are this package's own.
    There are at most 100 levels of dicts and lists, the document's own included. A document given
    out belongs to the caller: changing it changes nothing in the store, and neither does changing,
    later, a document that was put in.

    **Names with a meaning**, all optional: ``_id`` (str) identifies a document in its collection,
    ``unique_hash`` (str) says which documents are the same result, ``flow_id`` and ``inputs_hash``
    (str) and ``date_modified`` (datetime) are worth an index, ``project_name`` is the collection's
    name. A store may refuse other types under these names with ``ResultsDBError``.

    **Collections** come into being with their first document; one that does not exist is empty.

    **Blobs** are byte strings of any size under their sha256 (lower-case hex), for values too large
    for a document. Documents refer to them as ``{"%blob": "<digest>", "size": <bytes>}``.

    **Safety.** A document or blob is durable, and visible to every process, when the call that
    stores it returns. Methods may be called from several threads at once. A failure of the database
    is a ``ResultsDBError`` that says what to do, and a ``ResultsDBUnavailableError`` exactly when
    the same call may succeed later; results that are to be stored then wait in the outbox.
    """

    @classmethod
    def from_settings(cls, config: ResultsDBConfig | None, *, home: Path) -> Self:
        """Make the store that the settings describe.

        Override it for a store that is selected by name, through an entry point. A server that is
        away for now does not keep its store from being made: results then go to the outbox.

        Args:
            config: The ``LUME_RESULTS_DB__…`` settings; None when none is set.
            home: ``LUME_HOME``, for what is kept on this machine.

        Raises:
            ConfigurationError: This store is not made from settings, or not from these.
        """
        raise ConfigurationError(
            f"{cls.__name__} is not made from settings: pass an instance to "
            "configure(results_db=…), or give it a from_settings of its own."
        )

    # --- What a store has to write --------------------------------------------------------------

    @abstractmethod
    def insert_many(self, collection: str, documents: Iterable[Document]) -> list[str]:
        """Store documents; storing the same result again changes nothing.

        For each document, in this order:

        1. It has a ``unique_hash`` that a document of the collection has already (one earlier in
           this call included): it is not stored, and its id is that of the one there. The first
           one stays as it is, provenance and all.
        2. It has an ``_id`` that the collection has already: ``DuplicateResultError``.
        3. Otherwise it is stored, under its ``_id`` or, without one (or with None), under a new
           string.

        Args:
            collection: The collection's name.
            documents: The documents; they are not changed.

        Returns:
            The ids, one for each document, in order.

        Raises:
            SerializationError: A value is none that a document can hold.
            DuplicateResultError: See above. A store that has transactions stores nothing of the
                call then; one that has none says in its docstring what it leaves.
            ResultsDBError: The database failed; nothing half written can be seen.
        """

    @abstractmethod
    def scan(self, collection: str | None) -> Iterator[Document]:
        """Every document of a collection in the order in which they were inserted, with its _id.

        Args:
            collection: The collection's name; None for the documents of all collections, in any
                order of the collections.

        Yields:
            The documents, read one by one as far as the store can. What is inserted or deleted
            meanwhile may be seen or not; it causes no error.
        """

    @abstractmethod
    def delete(self, collection: str, ids: Iterable[str]) -> int:
        """Remove documents by id; an id that is not there is no error.

        Returns:
            How many were removed.
        """

    @abstractmethod
    def put_blob(self, data: Buffer) -> str:
        """Store bytes; the same bytes stored twice are one blob.

        Args:
            data: Any contiguous buffer, empty and of gigabytes included. It is not copied as a
                whole more than once.

        Returns:
            The sha256 of the bytes in lower-case hex.
        """

    @abstractmethod
    def get_blob(self, digest: str) -> Buffer:
        """Read a blob, in a buffer that is the caller's own and, where possible, writable.

        Raises:
            BlobNotFoundError: There is none of that digest.
            CorruptBlobError: What is stored does not have that digest; it is never returned.
        """

    # --- What follows from it -------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where the store is, without secrets: the same for every process that uses it.

        A URL such as ``mongodb://host:port/database``. Results that wait for this store are kept
        under it, and messages name it. Where it is not overridden, it is the name of the class,
        and no results wait: they might get to another store of that class.
        """
        return type(self).__name__

    def version(self) -> str:
        """What the store is built on, and its version: ``MongoDB 8.0.4``; asks the server.

        Raises:
            ResultsDBError: The database cannot be reached.
        """
        return ""

    def insert_one(self, collection: str, document: Document) -> str:
        """Store one document as ``insert_many`` does; its id."""
        return self.insert_many(collection, [document])[0]

    def find(
        self,
        collection: str,
        query: Query | None = None,
        fields: Fields | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> Iterator[Document]:
        """Documents that match a query, as MongoDB's ``find`` answers it.

        The query language is that of ``lume_services.services.results.query``: equality, dotted
        paths, ``$eq $ne $gt $gte $lt $lte $in $nin $exists $type $regex $size $all $elemMatch
        $and $or $nor $not``. Scalars of numpy are taken as the numbers, booleans and text that
        they are. A query is checked when this is called, also over no documents.

        Args:
            collection: The collection's name.
            query: Which documents; all when None.
            fields: Paths to keep, or a mapping of paths to 1 (keep) or 0 (drop); whole documents
                when None.
            sort: Paths with 1 (ascending) or -1 (descending). Equal documents, and all when None,
                come in insertion order.
            limit: At most so many.
            skip: Leave out so many of the first.

        Raises:
            UnsupportedQueryError: An argument asks for what is not understood.
        """
        return Selection(query, fields, sort, limit, skip).apply(self.scan(collection))

    def count(self, collection: str, query: Query | None = None) -> int:
        """How many documents match."""
        return sum(1 for _ in self.find(collection, query))

    def distinct(self, collection: str, field: str, query: Query | None = None) -> list[Any]:
        """The different values at a path, those of arrays one by one, in BSON order."""
        return distinct_values(self.find(collection, query), field)

    def collections(self) -> list[str]:
        """Names of the collections that hold a document, sorted."""
        return distinct_values(self.scan(None), "project_name")

    def create_index(  # noqa: B027 - most stores have nothing to do here
        self, collection: str, fields: Sequence[str]
    ) -> None:
        """Make queries on these paths fast, where the database can; answers stay the same."""

    def has_blob(self, digest: str) -> bool:
        """Whether there is a blob of that digest."""
        try:
            self.get_blob(digest)
        except BlobNotFoundError:
            return False
        return True

    def collect_orphans(self, older_than_s: float) -> tuple[int, int]:
        """Delete the blobs that no document refers to.

        Args:
            older_than_s: Spare those stored, or stored again, in the last so many seconds: a
                blob is stored before its document.

        Returns:
            How many blobs were deleted, and their bytes.

        Raises:
            ResultsDBError: This store cannot tell.
        """
        raise ResultsDBError(f"{type(self).__name__} has no way to find blobs without a document.")

    def close(self) -> None:  # noqa: B027 - nor here
        """Let go of connections; the next use may open them again."""
