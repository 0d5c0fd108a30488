"""Documents as the server gives them, batch by batch, also when it is lost in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from bson.errors import BSONError
from pymongo.cursor import Cursor
from pymongo.errors import PyMongoError

from lume_services.services.results.mongodb.connection import Connection, MongoDatabase, is_lost
from lume_services.services.results.mongodb.failures import told
from lume_services.services.results.mongodb.narrowing import SEQUENCE
from lume_services.services.results.query import Document

__all__ = ["Reading", "read"]


class Reading(NamedTuple):
    """What is asked of the server."""

    collection: str
    where: dict[str, Any]
    order: Sequence[tuple[str, int]]
    """Paths, each with 1 or -1; where nothing is to be ordered, empty."""
    fields: Sequence[str] | None = None
    at_once: int = 0
    """Documents of the first batch; MongoDB's choice when 0."""


def read(connection: Connection, reading: Reading) -> Iterator[Document]:
    """Documents, without what is not shown of them.

    In insertion order, reading goes on where it was when the server was lost in between; in
    another order it begins anew only as long as nothing was given out.

    Raises:
        ResultsDBError: The server is lost or refused.
    """
    last: int | None = None
    while True:
        cursor, document = connection.run(partial(_begin, reading, last))
        given = False
        try:
            while document is not None:
                last, given = document.pop(SEQUENCE, None), True
                yield document
                document = next(cursor, None)
            return
        except (PyMongoError, BSONError) as error:
            goes_on = last is not None and reading.order[:1] == [(SEQUENCE, 1)]
            if not is_lost(error) or (given and not goes_on):
                raise told(error, connection.place) from error
        finally:
            with suppress(PyMongoError):
                cursor.close()


def _begin(
    reading: Reading, after: int | None, database: MongoDatabase
) -> tuple[Cursor[Document], Document | None]:
    where = reading.where
    if after is not None:
        where = {"$and": [where, {SEQUENCE: {"$gt": after}}]}
    cursor = database[reading.collection].find(where, reading.fields, allow_disk_use=True)
    if reading.order:
        cursor = cursor.sort(list(reading.order))
    if reading.at_once:
        cursor = cursor.batch_size(reading.at_once)
    return cursor, next(cursor, None)
