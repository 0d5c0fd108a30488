"""``ModelDB``: connections to the registry's database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import RLock
from typing import TypeVar
from urllib.parse import quote, quote_plus
from uuid import uuid4

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    event,
    exc,
    insert,
    make_url,
)

from lume_services.errors import (
    ConfigurationError,
    ConstraintError,
    LUMEServicesError,
    ModelDBError,
    ModelDBUnavailableError,
    ModelDBUnreachableError,
    SchemaError,
)
from lume_services.services._retry import retried
from lume_services.services.models.db import migrations
from lume_services.services.models.db._dialect import (
    dialect_of,
    missing_driver,
    ping_idle_connections,
)
from lume_services.services.models.db.schema import PROJECT
from lume_services.services.models.settings import ModelDBConfig

__all__ = ["ModelDB"]

T = TypeVar("T")

# A connection that has been idle for longer may have been forgotten by a firewall on the way,
# which then answers nothing at all; a new one costs some milliseconds.
_IDLE_S = 240
# Beside POOL_SIZE, while many threads use the registry; closed when they are given back.
_EXTRA_CONNECTIONS = 10


class ModelDB:
    """The registry's database.

    Nothing is connected, and no driver imported, before it is first used. Thread-safe; after a
    fork the child opens connections of its own. A SQLite file is made with its tables, and
    brought to this version, on first use; the tables of other databases are made and upgraded by
    ``apply_schema()`` only.

    Args:
        config: Where the database is.

    Raises:
        ConfigurationError: The URL is none.
    """

    def __init__(self, config: ModelDBConfig) -> None:
        self.config = config
        self._url = _url(config)
        self._lock = RLock()
        self._engine: Engine | None = None
        self._pid = os.getpid()
        self._checked = False
        self._reached = False

    def __repr__(self) -> str:
        return f"ModelDB({self.address!r})"

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, made on first access.

        Its connections are in the driver's autocommit mode, and those of servers only read,
        unless ``connection(write=True)`` or ``transaction`` begins a transaction.

        Raises:
            ConfigurationError: The dialect is unknown, a driver is not installed, or a setting
                cannot be used.
        """
        self._leave_parents_connections()
        with self._lock:
            if self._engine is None:
                self._engine = self._new_engine()
            return self._engine

    @contextmanager
    def connection(self, *, write: bool = False) -> Iterator[Connection]:
        """A SQLAlchemy connection, for queries of your own.

        Args:
            write: Make the block one transaction: see ``transaction``. Without it nothing is kept,
                or a server refuses to write, and on servers each statement sees what is stored at
                its time.

        Raises:
            ModelDBError: The database refused a statement.
            ModelDBUnavailableError: It cannot be reached, or was lost, for now.
            ConfigurationError: It refused the user, the password, or another setting.
            SchemaError: The tables are not those of this version.
            ConstraintError: What was written contradicts what is stored.
        """
        with self._errors():
            self._check_schema()
            with self.engine.connect() as connection:
                if write:
                    with self.transaction(connection):
                        yield connection
                else:
                    self._dialect.begin(connection, write=False)
                    yield connection

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """Make a block, on a connection that has only read, one transaction that writes.

        It is committed at the end, or undone when an exception leaves the block. A SQLite database
        is locked for other writers from the first statement, so that what was read in the block
        cannot change before it is written.

        Args:
            connection: One that ``connection`` or ``run`` gave.
        """
        # SQLAlchemy's own, which began with the first statement that has read.
        with connection.get_transaction() or connection.begin():
            self._dialect.begin(connection, write=True)
            yield

    def run(self, work: Callable[[Connection], T], *, write: bool = False) -> T:
        """Do something with a connection, again where it failed for a passing reason.

        A lost connection, a deadlock and the like are tried again, with growing pauses, for
        ``LUME_MODEL_DB__CONNECTION__RETRY_S`` seconds, once the server has been reached.

        Args:
            work: What to do. It may be done several times, even after a commit whose answer was
                lost, so it has to find what it has stored already.
            write: See ``connection``.

        Raises:
            ModelDBError: As ``connection`` does.
        """

        def attempt() -> T:
            with self.connection(write=write) as connection:
                return work(connection)

        return self._retried(attempt)

    def apply_schema(self) -> None:
        """Make the tables, or bring those of an earlier version to this one; data is kept.

        The tables of LUME-services 0.x, which carry no version, are taken over. Safe when several
        processes do it at once, and when one was killed in the middle: run it again.

        Raises:
            SchemaError: The tables are of a later version, or those of something else.
            ModelDBError: As ``connection`` does.
        """
        self._retried(self._apply_schema)

    def current_revision(self) -> str | None:
        """The revision of the database's tables; None when it has none, or those of 0.x.

        Raises:
            ModelDBError: As ``connection`` does.
        """

        def ask() -> str | None:
            with self._errors(), self.engine.connect() as connection:
                return migrations.current_revision(connection)

        return self._retried(ask)

    def head_revision(self) -> str:
        """The revision of the tables that this version of LUME-services uses."""
        return migrations.HEAD

    @property
    def address(self) -> str:
        """Where the database is, as a URL without the password."""
        return self._url._replace(password=None).render_as_string()

    def version(self) -> str:
        """What the database is, and its version: ``MariaDB 10.11.14``; asks the server.

        Raises:
            ModelDBError: As ``connection`` does.
        """

        def ask() -> str:
            with self._errors(), self.engine.connect() as connection:
                return self._dialect.version(connection)

        return self._retried(ask)

    def check_writable(self) -> None:
        """See whether rows may be stored; what is written for it is undone.

        Raises:
            SchemaError: The tables are not those of this version.
            ModelDBError: As ``connection`` does.
        """

        def store_and_undo(connection: Connection) -> None:
            row = {"project_name": f"check {uuid4().hex}", "description": ""}
            connection.execute(insert(PROJECT), row)
            connection.rollback()

        self.run(store_and_undo, write=True)

    def check_schema(self) -> None:
        """See whether the tables are those of this version; nothing is changed.

        Raises:
            SchemaError: They are not; the message says what to run.
            ModelDBError: As ``connection`` does.
        """
        revision = self.current_revision()
        if revision != migrations.HEAD:
            raise SchemaError(f"{self._name}: {migrations.advice(revision)}")

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        self._leave_parents_connections()
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None
            self._checked = False

    def _leave_parents_connections(self) -> None:
        """After a fork: forget the parent's connections, unclosed, for the parent uses them.

        Its lock too, which another of its threads may have held.
        """
        if self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine = None
            self._lock = RLock()
            self._pid = os.getpid()

    def _new_engine(self, *, migrating: bool = False) -> Engine:
        url = self._url
        try:
            self._dialect = dialect_of(url, self.config)
            arguments = self._dialect.connect_arguments(migrating=migrating)
            if migrating:
                engine = create_engine(
                    url,
                    poolclass=NullPool,
                    connect_args=arguments,
                )
            else:
                engine = create_engine(
                    url,
                    pool_size=self.config.connection.pool_size,
                    max_overflow=_EXTRA_CONNECTIONS,
                    pool_timeout=self._dialect.answer_s,
                    pool_recycle=_IDLE_S,
                    connect_args=arguments,
                )
                if self.config.connection.pool_pre_ping:
                    ping_idle_connections(engine)
        except exc.NoSuchModuleError:
            raise ConfigurationError(
                f"{self._variable('HOST')}: {url.drivername!r} is no dialect that SQLAlchemy "
                "knows; write for example mysql+pymysql, postgresql+psycopg or sqlite"
            ) from None
        except ModuleNotFoundError as error:
            raise missing_driver(url, self.config, error) from error
        self._dialect.set_up(engine, migrating=migrating)
        event.listen(engine, "connect", self._is_reached)
        return engine

    def _is_reached(self, *connection: object) -> None:
        self._reached = True

    def _retried(self, attempt: Callable[[], T]) -> T:
        within_s = self.config.connection.retry_s
        return retried(attempt, self._may_pass, what=self._name, within_s=within_s)

    def _may_pass(self, error: BaseException) -> bool:
        passing = isinstance(error, ModelDBUnavailableError)
        return passing and self._reached and self._dialect.can_be_lost

    def _check_schema(self) -> None:
        if self._checked:
            return
        engine = self.engine
        with self._lock:
            if self._checked:
                return
            with engine.connect() as connection:
                revision = migrations.current_revision(connection)
            if revision != migrations.HEAD:
                if not self._dialect.upgrades_by_itself:
                    raise SchemaError(f"{self._name}: {migrations.advice(revision)}")
                self._apply_schema()
            self._checked = True

    def _apply_schema(self) -> None:
        self._leave_parents_connections()
        with self._lock, self._errors():
            engine = self._new_engine(migrating=True)
            with engine.connect() as connection:
                self._dialect.lock(connection)
                with self.transaction(connection):
                    try:
                        migrations.upgrade(connection)
                    except SchemaError as error:
                        raise SchemaError(f"{self._name}: {error}") from None
            self._checked = True

    def _variable(self, setting: str) -> str:
        """The variable of a setting; what a URL holds, but for the password, is of one variable."""
        if self.config.url is None or setting == "PASSWORD" or setting.startswith("TLS__"):
            return f"LUME_MODEL_DB__{setting}"
        return "LUME_MODEL_DB__URL"

    @cached_property
    def _name(self) -> str:
        return f"The model registry at {self.address} ({self._variable('HOST')})"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLAlchemy's errors into ours."""
        try:
            yield
        except exc.IntegrityError as error:
            raise ConstraintError(f"{self._name} refused a row: {self._reason(error)}") from error
        except exc.TimeoutError as error:
            raise ModelDBUnavailableError(
                f"{self._name}: all connections have been in use for {self._dialect.answer_s:g} s. "
                "Raise LUME_MODEL_DB__CONNECTION__POOL_SIZE."
            ) from error
        except exc.DBAPIError as error:
            # Where no statement is, SQLAlchemy's words tell nothing more than the driver's.
            raise self._told(error) from (error if error.statement else None)
        except exc.SQLAlchemyError as error:
            raise ModelDBError(f"{self._name}: {error}") from error

    def _told(self, error: exc.DBAPIError) -> LUMEServicesError:
        what = f"{self._name} failed: {self._reason(error)}."
        wrong = self._dialect.wrong_settings(error)
        variables = " and ".join(dict.fromkeys(map(self._variable, wrong or ("HOST", "PORT"))))
        if not self._dialect.is_passing(error):
            if wrong:
                return ConfigurationError(f"{what} See {variables}.")
            return ModelDBError(f"{what} {self._dialect.remedy}".strip())
        if self._reached or not self._dialect.can_be_lost:
            return ModelDBUnavailableError(f"{what} {self._dialect.remedy}".strip())
        return ModelDBUnreachableError(f"{what} See that the server runs, and {variables}.")

    def _reason(self, error: exc.DBAPIError) -> str:
        """The driver's words, without the password, should it tell it."""
        reason = self._dialect.reason(error).rstrip(".")
        password = str(self._url.password or "")
        for secret in {password, quote(password, safe=""), quote_plus(password)} - {""}:
            reason = reason.replace(secret, "***")
        return reason


# The drivers that LUME-services installs; the others that SQLAlchemy means by these need not be
# there. Tables of its dialect "mariadb" would not have the collation that they need.
_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgresql": "postgresql+psycopg",
}


def _url(config: ModelDBConfig) -> URL:
    """The database's URL; the password is in it, and SQLAlchemy hides it wherever it is shown."""
    password = config.password.get_secret_value() if config.password is not None else None
    if config.url is None:
        url = URL.create(
            config.dialect_str,
            username=config.user,
            password=password,
            host=config.host,
            port=config.port,
            database=config.database,
        )
    else:
        try:
            url = make_url(config.url)
        except (exc.ArgumentError, ValueError):
            raise ConfigurationError(
                "LUME_MODEL_DB__URL is not a database URL; write for example "
                "sqlite:////path/to/models.db or postgresql+psycopg://user@host/database"
            ) from None
        url = url if password is None else url.set(password=password)
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
