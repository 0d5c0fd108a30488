"""PostgreSQL, by Psycopg 3."""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, event, exc, text

from lume_services.services.models.db._dialect import MIGRATION_S, Dialect, files_of

__all__ = ["PostgreSQL"]

RV = TypeVar("RV")

_BESIDE_THE_POINT = re.compile(
    r"^connection failed: |\s+Is the server running[^?]*\?|\nLINE \d+:.*", re.DOTALL
)

_LOCK = 0x4C554D45  # "LUME"; PostgreSQL numbers such locks, in each database anew

# Codes of https://www.postgresql.org/docs/current/errcodes-appendix.html, or their class.
_PASSING = frozenset({"08", "40", "53", "55P03", "57014", "57P01", "57P02", "57P03", "57P05"})
_NOT_PASSING = frozenset({"53100"})  # the disk is full
_WRONG = {
    "28": ("USER", "PASSWORD"),
    "3D000": ("DATABASE",),
    "42501": ("USER",),  # this user may not do this
}
# Where no connection was made there is no code, only words of libpq's, or the server's in libpq's.
_WORDS: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("password authentication failed", False, ("USER", "PASSWORD")),
    ("no password supplied", False, ("PASSWORD",)),
    ("authentication failed", False, ("USER",)),
    ("no pg_hba.conf entry", False, ("USER", "DATABASE", "TLS__ENABLED")),
    ("pg_hba.conf rejects", False, ("USER", "DATABASE", "TLS__ENABLED")),
    ("certificate verify failed", False, ("TLS__CA_FILE",)),
    ("root certificate", False, ("TLS__CA_FILE",)),
    ("does not match host name", False, ("HOST",)),
    ("certificate", False, ("TLS__CERTIFICATE_FILE", "TLS__KEY_FILE")),
    ("private key", False, ("TLS__KEY_FILE",)),
    ("does not support ssl", False, ("TLS__ENABLED",)),
    ("ssl error", False, ("TLS__ENABLED",)),
    ("role ", False, ("USER",)),
    ("database system is", True, ()),  # starting up, shutting down, in recovery
    ("permission denied for database", False, ("USER", "DATABASE")),
    ("too many", True, ()),
    ("remaining connection slots", True, ()),
    ("currently not accepting connections", False, ("DATABASE",)),
    ('database "', False, ("DATABASE",)),
    ("temporary failure in name resolution", True, ("HOST",)),
    ("failed to resolve host", False, ("HOST",)),
    ("could not translate host name", False, ("HOST",)),
    # What is left is of the network: refused, no route, timed out, closed.
    ("", True, ("HOST", "PORT")),
)


class _Connection(psycopg.Connection[Any]):
    """Waits so long for an answer, and then takes the connection for lost: libpq has no limit."""

    answer_s: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, self.answer_s if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if timeout is None and not self.closed and type(error).__name__ == "_WaitTimeout":
                self.close()
                raise psycopg.OperationalError(f"no answer in {self.answer_s:g} s") from None
            raise


class PostgreSQL(Dialect):
    """PostgreSQL."""

    begin_write = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    remedy = "See what the server's log says."

    def connect_arguments(self, *, migrating: bool) -> dict[str, Any]:
        """Time limits, TLS, and no transaction by default.

        Raises:
            ConfigurationError: A file of the TLS settings cannot be used.
        """
        arguments: dict[str, Any] = {
            "connect_timeout": math.ceil(self.config.connection.timeout_s),
            "autocommit": not migrating,
        }
        if (tls := self.config.tls) is not None and not tls.enabled:
            arguments["sslmode"] = "disable"
        elif tls is not None:
            ca, certificate, key = files_of(tls)
            arguments |= {"sslmode": "verify-full", "sslrootcert": ca or "system"}
            if certificate is not None:
                arguments |= {"sslcert": certificate, "sslkey": key}
        return arguments

    def set_up(self, engine: Engine, *, migrating: bool) -> None:
        """Use connections of our own class, which write only where a transaction says so."""
        answer_s = 10 * MIGRATION_S if migrating else self.answer_s

        @event.listens_for(engine, "do_connect")
        def _connect(dialect: Any, record: Any, positional: Any, named: Any) -> _Connection:
            connection = _Connection.connect(*positional, **named)
            connection.answer_s = answer_s
            if not migrating:
                connection.execute("SET default_transaction_read_only = on")
            return connection

    def lock(self, connection: Connection) -> None:
        """Wait for an advisory lock of this database."""
        connection.execute(text(f"SET lock_timeout = '{MIGRATION_S}s'"))
        connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
        connection.commit()

    def version(self, connection: Connection) -> str:
        """Asks the server."""
        said = str(connection.exec_driver_sql("SHOW server_version").scalar())
        return f"PostgreSQL {said.partition(' ')[0]}"

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Whether its code is one of those, or the connection is lost, or might have been made."""
        code = getattr(error.orig, "sqlstate", None)
        if code is not None:
            passing = code in _PASSING or code[:2] in _PASSING
            return passing and code not in _NOT_PASSING
        if error.statement is not None:
            return error.connection_invalidated
        return self._in_words(error)[0]

    def wrong_settings(self, error: exc.DBAPIError) -> tuple[str, ...]:
        """What the code, or the words where no connection was made, point to."""
        code = getattr(error.orig, "sqlstate", None)
        if code is not None:
            return _WRONG.get(code) or _WRONG.get(code[:2], ())
        return () if error.statement is not None else self._in_words(error)[1]

    def reason(self, error: exc.DBAPIError) -> str:
        """Psycopg's words, without its questions and its picture of the statement."""
        return " ".join(_BESIDE_THE_POINT.sub("", str(error.orig)).split())

    def _in_words(self, error: exc.DBAPIError) -> tuple[bool, tuple[str, ...]]:
        said = self.reason(error).lower()
        return next((passing, wrong) for words, passing, wrong in _WORDS if words in said)
