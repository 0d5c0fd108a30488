"""What the registry asks of a database beyond what SQLAlchemy does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import URL, Connection, Engine, event, exc

from lume_services.errors import ConfigurationError, MissingDependencyError
from lume_services.services.models.settings import ModelDBConfig

if TYPE_CHECKING:
    from lume_services.services.settings import TLSConfig

__all__ = [
    "MIGRATION_S",
    "Dialect",
    "dialect_of",
    "files_of",
    "missing_driver",
    "ping_idle_connections",
]

MIGRATION_S = 60
"""How long an upgrade waits for another one, or for those who use the tables."""


_FRESH_S = 1.0
_GIVEN_BACK = "lume_given_back"


class Dialect:
    """Any database that SQLAlchemy speaks to, by its own defaults.

    Subclasses know more. What they have in common: connections are in the driver's autocommit
    mode, so that a statement that reads is one round trip to the server, and transactions that
    write are begun by a statement, ``begin_write``.

    Args:
        url: The database, with its password.
        config: Its settings.
    """

    begin_read: ClassVar[str | None] = None
    begin_write: ClassVar[str | None] = None
    upgrades_by_itself: ClassVar[bool] = False
    """Whether the tables are made and upgraded on first use."""
    can_be_lost: ClassVar[bool] = True
    """Whether there is a connection to a server, which may come back."""
    remedy: ClassVar[str] = ""
    """What to do when it fails in a way that is not told by ``wrong_settings``."""

    def __init__(self, url: URL, config: ModelDBConfig) -> None:
        self.url = url
        self.config = config

    @property
    def answer_s(self) -> float:
        """How long to wait for one answer of a server that was reached."""
        return max(self.config.connection.retry_s, self.config.connection.timeout_s)

    def connect_arguments(self, *, migrating: bool) -> dict[str, Any]:
        """What the driver's connect function is given.

        Raises:
            ConfigurationError: A setting cannot be used with this database.
        """
        if self.config.tls is not None:
            raise ConfigurationError(
                f"LUME_MODEL_DB__TLS is understood for mysql+pymysql and postgresql+psycopg, not "
                f"{self.url.drivername}; give the driver's own options in LUME_MODEL_DB__URL"
            )
        return {}

    def set_up(self, engine: Engine, *, migrating: bool) -> None:
        """Listen to what happens to an engine that has not connected yet."""

    def begin(self, connection: Connection, *, write: bool) -> None:
        """Begin a transaction, where there is one.

        Neither by an event of SQLAlchemy's, whose engines then ask for listeners at every turn, nor
        by ``exec_driver_sql``: together they are a sixth of what storing a row takes.
        """
        statement = self.begin_write if write else self.begin_read
        if statement is None:
            return
        cursor = connection.connection.cursor()
        dialect = connection.dialect
        try:
            cursor.execute(statement)
        except dialect.loaded_dbapi.Error as error:
            lost = dialect.is_disconnect(error, connection.connection, cursor)
            if lost:
                connection.invalidate(error)
            raise exc.DBAPIError.instance(
                statement, None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost
            ) from error
        cursor.close()

    def lock(self, connection: Connection) -> None:
        """Let one process at a time migrate; held until the connection is closed."""

    def version(self, connection: Connection) -> str:
        """What the database calls itself, and its version."""
        return connection.dialect.name

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Whether the same call may succeed later."""
        return error.connection_invalidated

    def wrong_settings(self, error: exc.DBAPIError) -> tuple[str, ...]:
        """The settings to look at, the likeliest first: ``USER``, ``TLS__CA_FILE``."""
        return ()

    def reason(self, error: exc.DBAPIError) -> str:
        """The driver's words in one line; SQLAlchemy's hold the statement as well."""
        return " ".join(str(error.orig).split())


def ping_idle_connections(engine: Engine) -> None:
    """Test connections of the pool before they are used again.

    SQLAlchemy's ``pool_pre_ping`` tests also those that have just been used, which is most of
    them, and doubles what a read costs. One that is lost in that second is tried again.
    """

    @event.listens_for(engine, "checkin")
    def _given_back(connection: Any, record: Any) -> None:
        record.info[_GIVEN_BACK] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, record: Any, proxy: Any) -> None:
        now = time.monotonic()
        if now - record.info.get(_GIVEN_BACK, now) < _FRESH_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.DisconnectionError from error  # the pool makes a new one


_EXTRAS = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgresql"}


def dialect_of(url: URL, config: ModelDBConfig) -> Dialect:
    """The dialect of a database, whose driver is imported for it.

    Raises:
        MissingDependencyError: The driver is not installed.
    """
    try:
        match url.drivername:
            case "sqlite" | "sqlite+pysqlite":
                from lume_services.services.models.db._sqlite import SQLite

                return SQLite(url, config)
            case "mysql+pymysql":
                from lume_services.services.models.db._mysql import MySQL

                return MySQL(url, config)
            case "postgresql+psycopg":
                from lume_services.services.models.db._postgresql import PostgreSQL

                return PostgreSQL(url, config)
    except ModuleNotFoundError as error:
        raise missing_driver(url, config, error) from error
    return Dialect(url, config)


def missing_driver(
    url: URL, config: ModelDBConfig, error: ModuleNotFoundError
) -> MissingDependencyError:
    """The error to raise when a driver is not installed."""
    backend = url.get_backend_name()
    what = f"lume-services[{_EXTRAS[backend]}]" if backend in _EXTRAS else error.name
    variable = "LUME_MODEL_DB__HOST" if config.url is None else "LUME_MODEL_DB__URL"
    return MissingDependencyError(
        f"{variable}: {url.drivername!r} needs the package {error.name}, which is not installed. "
        f"Run: pip install '{what}'"
    )


def files_of(tls: TLSConfig) -> tuple[str | None, str | None, str | None]:
    """CA, certificate and key file of TLS settings.

    Raises:
        ConfigurationError: One of them cannot be read.
    """
    tls.check_files("LUME_MODEL_DB__TLS")
    ca, certificate, key = (
        None if path is None else str(path)
        for path in (tls.ca_file, tls.certificate_file, tls.key_file or tls.certificate_file)
    )
    return ca, certificate, key
