"""``ModelDB``: connections to the registry's database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from uuid import uuid4

from sqlalchemy import URL, Engine, NullPool, create_engine, exc, make_url
from sqlalchemy.orm import Session

from lume_services.errors import (
    ConfigurationError,
    ConstraintError,
    MissingDependencyError,
    ModelDBError,
    SchemaError,
)
from lume_services.services._sqlite import BUSY_TIMEOUT_S
from lume_services.services.models.db import _sqlite, migrations
from lume_services.services.models.db.schema import Project
from lume_services.services.models.settings import ModelDBConfig

__all__ = ["ModelDB"]

_NAMES = {
    "mariadb": "MariaDB",
    "mysql": "MySQL",
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
}
_EXTRAS = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgresql"}


class ModelDB:
    """The registry's database.

    Nothing is connected, and no driver imported, before it is first used. Thread-safe; after a
    fork the child opens connections of its own. A SQLite file is made with its tables, and
    brought to this version, on first use; the tables of other databases are made and upgraded by
    ``apply_schema()`` only.

    Args:
        config: Where the database is.
    """

    def __init__(self, config: ModelDBConfig) -> None:
        self.config = config
        self._url = _url(config)
        self._lock = RLock()
        self._engine: Engine | None = None
        self._pid = os.getpid()
        self._checked = False

    def __repr__(self) -> str:
        return f"ModelDB({self._url.render_as_string(hide_password=True)!r})"

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, made on first access.

        Raises:
            ConfigurationError: The dialect is unknown, or its driver is not installed.
        """
        with self._lock:
            if self._engine is not None and self._pid != os.getpid():
                # The parent's connections: forgotten, not closed, for the parent still uses them.
                self._engine.dispose(close=False)
                self._engine = None
            if self._engine is None:
                self._engine = self._new_engine()
                self._pid = os.getpid()
            return self._engine

    @contextmanager
    def session(self, *, write: bool = False) -> Iterator[Session]:
        """A SQLAlchemy session in one transaction.

        What is read stays usable when the session has ended.

        Args:
            write: Commit at the end, or undo everything when an exception leaves the block. A
                SQLite database is locked for other writers from the first statement, so that what
                was read in the block cannot change before it is written. Without it nothing is
                kept.

        Raises:
            ModelDBError: The database cannot be reached or refused a statement.
            SchemaError: The tables are not those of this version.
            ConstraintError: What was written contradicts what is stored.
        """
        with self._errors():
            if not self._checked:
                self._check_schema()
            engine = self.engine
            if write:
                engine = engine.execution_options(**{_sqlite.BEGIN: "BEGIN IMMEDIATE"})
            with Session(engine, expire_on_commit=False) as session:
                yield session
                if write:
                    session.commit()

    def apply_schema(self) -> None:
        """Make the tables, or bring those of an earlier version to this one; data is kept.

        The tables of LUME-services 0.x, which carry no version, are taken over. Safe when several
        processes do it to one SQLite file at once.

        Raises:
            SchemaError: The tables are of a later version, or those of something else.
            ModelDBError: The database cannot be reached or refused a statement.
        """
        with self._lock, self._errors():
            engine = self.engine
            if self._is_sqlite:
                engine = self._new_engine(migrating=True)
            with engine.begin() as connection:
                migrations.upgrade(connection)
            if self._is_sqlite:
                engine.dispose()
            self._checked = True

    def current_revision(self) -> str | None:
        """The revision of the database's tables; None when it has none, or those of 0.x.

        Raises:
            ModelDBError: The database cannot be reached.
        """
        with self._errors(), self.engine.connect() as connection:
            return migrations.current_revision(connection)

    def head_revision(self) -> str:
        """The revision of the tables that this version of LUME-services uses."""
        return migrations.HEAD

    @property
    def address(self) -> str:
        """Where the database is, without user and password."""
        url = self._url
        place = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
        return place.render_as_string()

    def version(self) -> str:
        """What the database is, and its version: ``MariaDB 10.11.14``.

        Raises:
            ModelDBError: The database cannot be reached.
        """
        with self._errors(), self.engine.connect() as connection:
            dialect = connection.dialect
            version = ".".join(map(str, dialect.server_version_info or ()))
        name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
        return f"{_NAMES.get(name, name)} {version}"

    def check_writable(self) -> None:
        """Store a row and take it back before anybody sees it.

        Raises:
            ModelDBError: The user may not write, or the database cannot.
            SchemaError: The tables are not those of this version.
        """
        with suppress(_UndoneError), self.session(write=True) as session:
            session.add(Project(project_name=uuid4().hex, description=""))
            session.flush()
            raise _UndoneError

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose(close=self._pid == os.getpid())
            self._engine = None
            self._checked = False

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def _new_engine(self, *, migrating: bool = False) -> Engine:
        options = self.config.connection.model_dump(include={"pool_size", "pool_pre_ping"})
        if self._is_sqlite:
            _sqlite.make_folder(self._url)
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S}
        try:
            if not migrating:
                engine = create_engine(self._url, **options)
            else:
                engine = create_engine(
                    self._url,
                    poolclass=NullPool,
                    connect_args=options["connect_args"],
                    execution_options={_sqlite.BEGIN: "BEGIN IMMEDIATE"},
                )
        except exc.NoSuchModuleError:
            raise ConfigurationError(
                f"{self._variable}: {self._url.drivername!r} is no dialect that SQLAlchemy knows; "
                "write for example mysql+pymysql, postgresql+psycopg or sqlite"
            ) from None
        except ModuleNotFoundError as error:
            backend = self._url.get_backend_name()
            what = f"lume-services[{_EXTRAS[backend]}]" if backend in _EXTRAS else error.name
            raise MissingDependencyError(
                f"{self._variable}: {self._url.drivername!r} needs the package {error.name}, which "
                f"is not installed. Run: pip install '{what}'"
            ) from error
        if self._is_sqlite:
            _sqlite.set_up(engine, foreign_keys=not migrating)
        return engine

    def _check_schema(self) -> None:
        with self._lock:
            if self._checked:
                return
            with self.engine.connect() as connection:
                revision = migrations.current_revision(connection)
            if revision != migrations.HEAD:
                if not self._is_sqlite:
                    raise SchemaError(f"{self._name}: {migrations.advice(revision)}")
                self.apply_schema()
            self._checked = True

    @property
    def _variable(self) -> str:
        return "LUME_MODEL_DB__HOST" if self.config.url is None else "LUME_MODEL_DB__URL"

    @property
    def _name(self) -> str:
        url = self._url.render_as_string(hide_password=True)
        return f"The model registry at {url} ({self._variable})"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLAlchemy's errors into ours."""
        try:
            yield
        except exc.IntegrityError as error:
            raise ConstraintError(f"{self._name} refused a row: {self._reason(error)}") from error
        except exc.TimeoutError as error:
            raise ModelDBError(
                f"{self._name}: all connections are in use. Raise "
                "LUME_MODEL_DB__CONNECTION__POOL_SIZE."
            ) from error
        except exc.DBAPIError as error:
            if self._is_sqlite:
                remedy = "See that the file can be written, that the disk is not full and that no "
                remedy += "other program keeps the file locked."
            else:
                remedy = "See that the server runs and that host, port, user and password are "
                remedy += "right."
            raise ModelDBError(f"{self._name} failed: {self._reason(error)}. {remedy}") from error
        except exc.SQLAlchemyError as error:
            raise ModelDBError(f"{self._name}: {error}") from error

    def _reason(self, error: exc.DBAPIError) -> str:
        # The driver's words only: SQLAlchemy adds the statement, which tells the user nothing.
        reason = str(error.orig).strip()
        password = str(self._url.password or "")
        return reason.replace(password, "***") if password else reason


class _UndoneError(Exception):
    """Leaves a transaction without committing it."""


def _url(config: ModelDBConfig) -> URL:
    """The database's URL; the password is in it, and SQLAlchemy hides it wherever it is shown."""
    password = config.password.get_secret_value() if config.password is not None else None
    if config.url is None:
        return URL.create(
            config.dialect_str,
            username=config.user,
            password=password,
            host=config.host,
            port=config.port,
            database=config.database,
        )
    try:
        url = make_url(config.url)
    except (exc.ArgumentError, ValueError):
        raise ConfigurationError(
            "LUME_MODEL_DB__URL is not a database URL; write for example "
            "sqlite:////path/to/models.db or postgresql+psycopg://user@host/database"
        ) from None
    return url if password is None else url.set(password=password)
