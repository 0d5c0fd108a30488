"""``SQLiteResultsDB``: documents as rows of one table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from lume_services._moments import milliseconds
from lume_services.errors import (
    ConfigurationError,
    DuplicateResultError,
    ResultsDBUnavailableError,
)
from lume_services.services.network import refuse_network_filesystem
from lume_services.services.results.base import Document, Fields, Query, Sort
from lume_services.services.results.blob_keeping import KeepsBlobs
from lume_services.services.results.blobs import BlobFolder
from lume_services.services.results.documents import check_indexed, new_id
from lume_services.services.results.query import is_unicode
from lume_services.services.results.selection import Selection
from lume_services.services.results.settings import ResultsDBConfig
from lume_services.services.results.sqlite.connections import Connections
from lume_services.services.results.sqlite.narrowing import TEXT_COLUMNS, narrow, ordering
from lume_services.services.results.sqlite.rows import Decoder, encode
from lume_services.services.results.sqlite.schema import prepare

__all__ = ["SQLiteResultsDB"]

_INSERT = (
    "INSERT INTO results (collection, id, unique_hash, flow_id, inputs_hash, date_modified, "
    "document, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_BLOB_REFERENCE = re.compile(r'"%blob":"([0-9a-f]{64})"')


class SQLiteResultsDB(KeepsBlobs):
    """Keeps documents in an SQLite file and blobs in a folder.

    Safe with several threads and processes on one machine: the write-ahead log lets them read
    while one writes, and a commit waits for the disk. When a call of ``insert_many`` fails,
    nothing of it is stored.

    Args:
        path: The database's file; it and its folder are made when missing.
        blobs: The folder of blobs, of this database alone; ``<stem>-blobs`` beside the file
            when not given.
        setting: Where the path comes from, for messages.

    Raises:
        ConfigurationError: The file would be on a network filesystem.
        ResultsDBError: The file cannot be opened, or is not a results database of this version.
    """

    def __init__(
        self, path: Path | str, blobs: Path | str | None = None, *, setting: str = "path"
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        refuse_network_filesystem(self.path, setting)
        self.blobs = BlobFolder(
            self.path.with_name(f"{self.path.stem}-blobs")
            if blobs is None
            else Path(blobs).expanduser().absolute()
        )
        self._connections = Connections(self.path, partial(prepare, path=self.path))
        # What is wrong with the file is said here; what may be over later, when it is used.
        with suppress(ResultsDBUnavailableError), self._connections.reading():
            pass

    @classmethod
    def from_settings(cls, config: ResultsDBConfig | None, *, home: Path) -> Self:
        """Make the store of ``LUME_RESULTS_DB__URL``, or of ``LUME_HOME`` when that is not set.

        Args:
            config: ``url`` is ``sqlite:///relative/path`` or ``sqlite:////absolute/path``; a
                leading ``~`` is the user's home. ``blobs`` is the folder of blobs.
            home: Holds ``results.db`` and ``blobs`` by default, whether the URL says so or not.

        Raises:
            ConfigurationError: The URL names no file, or one on a network filesystem.
        """
        default, blobs = home / "results.db", home / "blobs"
        if config is None or config.url is None:
            return cls(default, blobs, setting="LUME_HOME")
        variable = "LUME_RESULTS_DB__URL"
        scheme, _, path = config.url.partition(":///")
        if scheme != "sqlite" or not path or path.startswith((":", "?", "file:")) or "?" in path:
            raise ConfigurationError(
                f"{variable} has to be sqlite:///path/to/file (four slashes for an absolute path) "
                "and have no options."
            )
        is_default = Path(path).expanduser().absolute() == default
        return cls(path, config.blobs or (blobs if is_default else None), setting=variable)

    @property
    def address(self) -> str:
        """``sqlite:////absolute/path``."""
        return f"sqlite:///{self.path}"

    # --- Documents -------------------------------------------------------------------------------

    def insert_many(self, collection: str, documents: Iterable[Document]) -> list[str]:
        """Store documents in one transaction; storing the same result again changes nothing."""
        rows = [_row(collection, document) for document in documents]
        with self._connections.writing() as connection:
            return [self._insert(connection, row) for row in rows]

    def scan(self, collection: str | None) -> Iterator[Document]:
        """Every document of a collection, or of all, in insertion order, read one by one."""
        if collection is None:
            return self._documents("TRUE", [], "sequence")
        return self._documents("collection = ?", [collection], "sequence")

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

        Only rows that may match are read: those with the right ``_id``, ``unique_hash``,
        ``flow_id``, ``inputs_hash`` or ``date_modified`` by an index, and of the others those
        whose numbers and text compare.
        """
        selection = Selection(query, fields, sort, limit, skip)
        condition, parameters = narrow(selection.query)
        order = ordering(sort)
        documents = self._documents(
            f"collection = ? AND {condition}", [collection, *parameters], order or "sequence"
        )
        return selection.apply(documents, ordered=order is not None)

    def count(self, collection: str, query: Query | None = None) -> int:
        """How many documents match."""
        if query:
            return super().count(collection, query)
        with self._connections.reading() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM results WHERE collection = ?", [collection]
            ).fetchone()
        return int(count)

    def collections(self) -> list[str]:
        """Names of the collections that hold a document, sorted."""
        with self._connections.reading() as connection:
            rows = connection.execute("SELECT DISTINCT collection FROM results ORDER BY 1")
            return [name for (name,) in rows]

    def delete(self, collection: str, ids: Iterable[str]) -> int:
        """Remove documents by id, in one transaction; how many there were."""
        with self._connections.writing() as connection:
            cursor = connection.executemany(
                "DELETE FROM results WHERE collection = ? AND id = ?",
                [(collection, name) for name in ids if is_unicode(name)],
            )
        return max(cursor.rowcount, 0)

    def version(self) -> str:
        """The version of SQLite."""
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        self._connections.close()

    def _blob_references(self) -> set[str]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                "SELECT document FROM results WHERE instr(document, '\"%blob\":')"
            )
            return {digest for (text,) in rows for digest in _BLOB_REFERENCE.findall(text)}

    # --- Rows ------------------------------------------------------------------------------------

    def _documents(self, where: str, parameters: list[Any], order: str) -> Iterator[Document]:
        # What is put into the SQL here are constants; values are bound.
        decode = Decoder().decode
        with self._connections.reading() as connection:
            if order == "sequence":
                select = f"SELECT document, raw FROM results WHERE {where} ORDER BY sequence"  # noqa: S608 - as said
                with closing(connection.execute(select, parameters)) as rows:
                    for text, raw in rows:
                        yield decode(text, raw)
                return
            # Sort the keys alone, not whole documents, of which only the first may be wanted.
            select = f"SELECT sequence FROM results WHERE {where} ORDER BY {order}"  # noqa: S608 - as said
            with closing(connection.execute(select, parameters)) as places:
                for place in places:
                    row = connection.execute(
                        "SELECT document, raw FROM results WHERE sequence = ?", place
                    ).fetchone()
                    if row is not None:  # and not deleted since
                        yield decode(*row)

    def _insert(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> str:
        collection, name, unique_hash = row[:3]
        try:
            connection.execute(_INSERT, row)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            existing = connection.execute(
                "SELECT id FROM results WHERE collection = ? AND unique_hash = ?",
                [collection, unique_hash],
            ).fetchone()
            if existing is None:
                raise DuplicateResultError(
                    f"_id {name!r} is taken by another document in {collection!r}."
                ) from None
            return str(existing[0])
        return str(name)


def _row(collection: str, document: Document) -> tuple[Any, ...]:
    """The values of ``_INSERT``."""
    check_indexed(document)
    name = document.get("_id")
    if name is None:
        name = new_id()
    stored = {"_id": name, **document}
    stored["_id"] = name
    texts = [stored.get(key) for key in TEXT_COLUMNS]
    moment = stored.get("date_modified")
    text, raw = encode(stored)
    return (collection, *texts, None if moment is None else milliseconds(moment), text, raw)
