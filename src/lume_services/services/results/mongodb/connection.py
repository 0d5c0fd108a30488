"""The client of this process: made when it is first needed, made again after a fork."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from threading import Lock
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakSet

from bson import ObjectId
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.errors import BSONError
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import AutoReconnect, InvalidOperation, PyMongoError

from lume_services.errors import SerializationError
from lume_services.services._retry import retried
from lume_services.services.results.mongodb.failures import is_transient, told
from lume_services.services.results.mongodb.options import Place, client_arguments
from lume_services.services.results.settings import ResultsDBConfig

__all__ = ["CODEC", "Connection", "Documents", "MongoDatabase", "is_lost"]

MongoDatabase: TypeAlias = Database[dict[str, Any]]
Documents: TypeAlias = Collection[dict[str, Any]]
T = TypeVar("T")


class _Int(TypeDecoder):
    """64-bit integers as the ints they were."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


class _Id(TypeDecoder):
    """Ids that MongoDB made, in documents that others stored, as text."""

    bson_type = ObjectId

    def transform_bson(self, value: Any) -> str:
        return str(value)


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise SerializationError(
        f"A document cannot hold a {type(value).__name__}: encode it first "
        "(lume_services.serialization.encode)."
    )


CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    type_registry=TypeRegistry([_Int(), _Id()], fallback_encoder=_as_bytes),
)
"""How documents become BSON and come back."""


class Connection:
    """Connections to one database, for all threads of a process.

    A PyMongo client does not survive a fork: the child makes its own and leaves the parent's alone.

    Args:
        config: Where the database is.

    Raises:
        ConfigurationError: The settings name no database.
    """

    def __init__(self, config: ResultsDBConfig) -> None:
        self.place = Place(config)
        self._config = config
        self._lock = Lock()
        self._client: MongoClient[dict[str, Any]] | None = None
        self._in_vain: AutoReconnect | None = None
        self._away = False
        _CONNECTIONS.add(self)

    def run(self, operation: Callable[[MongoDatabase], T]) -> T:
        """Do something with the database; again, for a while, when the server is lost.

        The first connection of a process is not waited for: it is there in a few seconds, or
        something is wrong with the settings. Nor is a server that has been away for all of that
        while, until it answers again: who has many things to do would wait every time.

        Args:
            operation: What to do; it may be done more than once.

        Raises:
            ResultsDBUnavailableError: The server is away; the same call may succeed later.
            ResultsDBError: It refused.
            ConfigurationError: The settings are wrong, or do not let us in.
        """
        with self.errors():
            self._opened()
            try:
                done = retried(
                    lambda: operation(self.database()),
                    is_lost,
                    what=f"The results database at {self.place.address}",
                    within_s=0 if self._away else self._config.connection.retry_s,
                )
            except PyMongoError as error:
                self._away = is_lost(error)
                raise
            self._away = False
            return done

    def database(self) -> MongoDatabase:
        """The database, by PyMongo; its errors are PyMongo's."""
        return self._opened().get_database(self.place.database, codec_options=CODEC)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn PyMongo's errors into ours."""
        try:
            yield
        except (PyMongoError, BSONError) as error:
            raise told(error, self.place) from error

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def forget(self) -> None:
        """Leave the connections to the parent process."""
        _INHERITED.append(self._client)
        self._client = None
        self._lock = Lock()
        self._away = False

    def _opened(self) -> MongoClient[dict[str, Any]]:
        before = self._in_vain
        with self._lock:
            if self._client is not None:
                return self._client
            if self._in_vain is not None and self._in_vain is not before:
                # While this thread waited another one tried; all in turn would take too long.
                raise AutoReconnect(str(self._in_vain))
            try:
                self._client = self._open()
            except PyMongoError as error:
                if is_transient(error):
                    self._in_vain = AutoReconnect(str(error))  # without a traceback
                raise
            return self._client

    def _open(self) -> MongoClient[dict[str, Any]]:
        with client_arguments(self._config, self.place) as arguments:
            try:
                client: MongoClient[dict[str, Any]] = MongoClient(self.place.uri, **arguments)
            except (OSError, ValueError, TypeError) as error:  # a certificate, an option's value
                raise told(error, self.place) from None
            try:
                client.admin.command("ping")
            except BaseException:
                client.close()
                raise
        return client


def is_lost(error: BaseException) -> bool:
    """Whether to try again: the server was lost, or another thread closed this client."""
    return is_transient(error) or (isinstance(error, InvalidOperation) and "close" in str(error))


_CONNECTIONS: Final[WeakSet[Connection]] = WeakSet()
_INHERITED: Final[list[object]] = []
"""Clients of a parent process, which still uses them: kept, so that nothing closes them here."""


def _forget_connections() -> None:
    for connection in list(_CONNECTIONS):
        connection.forget()


os.register_at_fork(after_in_child=_forget_connections)
