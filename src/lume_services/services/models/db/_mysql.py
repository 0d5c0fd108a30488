"""MariaDB and MySQL, by PyMySQL."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from pymysql import Connection
from pymysql.constants.SERVER_STATUS import SERVER_STATUS_IN_TRANS
from sqlalchemy import Connection as SQLAlchemyConnection
from sqlalchemy import Engine, event, exc, text

from lume_services.errors import ConfigurationError, ModelDBUnavailableError
from lume_services.services.models.db._dialect import MIGRATION_S, Dialect, files_of
from lume_services.services.settings import TLSConfig

__all__ = ["MySQL"]

# Numbers of https://mariadb.com/kb/en/mariadb-error-code-reference and
# https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html.
_PASSING = frozenset(
    {
        *(1040, 1203, 1226),  # too many connections
        *(1053, 1077, 1079, 1927, 3168, 4031),  # the server ends, or ended the connection
        *(1158, 1159, 1160, 1161, 2006, 2013, 2014, 2055),  # the connection is lost
        *(1020, 1205, 1213),  # others wrote the same rows
        *(1317, 1969, 3024),  # the statement was interrupted, or took too long
    }
)
_WRONG = {
    1044: ("DATABASE", "USER"),  # this user may not use this database
    1045: ("USER", "PASSWORD"),
    1049: ("DATABASE",),
    1130: ("HOST", "USER"),  # the server takes no connection from this machine
    1142: ("USER",),  # this user may not do this
    1143: ("USER",),
    1227: ("USER",),
    1370: ("USER",),
    1524: ("USER",),  # a way of logging in that one of the two does not know
    1698: ("USER", "PASSWORD"),
    1820: ("PASSWORD",),  # it has expired
    1862: ("PASSWORD",),
    2026: ("TLS__ENABLED",),
    2059: ("USER",),
    3118: ("USER",),  # the account is locked
    3159: ("TLS__ENABLED",),  # the server wants TLS
    4151: ("USER",),
}
_NO_CONNECTION = 2003
_WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and …_IP_ADDRESS_MISMATCH of OpenSSL


class _Connection(Connection):  # type: ignore[misc]  # PyMySQL has no types
    """Sends no ROLLBACK when there is nothing to roll back, which is after every read."""

    def rollback(self) -> None:
        if self.server_status & SERVER_STATUS_IN_TRANS:
            super().rollback()


class MySQL(Dialect):
    """MariaDB and MySQL."""

    begin_write = "START TRANSACTION READ WRITE"
    remedy = "See what the server's log says."

    def connect_arguments(self, *, migrating: bool) -> dict[str, Any]:
        """Time limits, TLS, and how transactions are: none by default, and none that writes.

        Raises:
            ConfigurationError: A file of the TLS settings cannot be used.
        """
        timeout_s = self.config.connection.timeout_s
        arguments: dict[str, Any] = {
            "connect_timeout": timeout_s,
            "read_timeout": timeout_s,
            "write_timeout": timeout_s,
            "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
            + ("" if migrating else ", READ ONLY"),
            "autocommit": not migrating,
        }
        if (tls := self.config.tls) is not None:
            arguments |= {"ssl": _tls(tls)} if tls.enabled else {"ssl_disabled": True}
        return arguments

    def set_up(self, engine: Engine, *, migrating: bool) -> None:
        """Use connections of our own class."""
        # A table of some thousand rows is altered in seconds; this is for a server that hangs.
        answer_s = 10 * MIGRATION_S if migrating else self.answer_s

        @event.listens_for(engine, "do_connect")
        def _connect(dialect: Any, record: Any, positional: Any, named: Any) -> _Connection:
            connection = _Connection(*positional, **named)
            # PyMySQL knows one limit for reading, which the greeting of the server is held to as
            # well; a statement may have to wait longer, for a lock.
            connection._read_timeout = connection._write_timeout = answer_s
            return connection

    def lock(self, connection: SQLAlchemyConnection) -> None:
        """Wait for a lock of the server's with the name of the database."""
        connection.execute(text(f"SET SESSION lock_wait_timeout = {MIGRATION_S}"))
        # Rows that say no date are given one; dates are kept in UTC.
        connection.execute(text("SET SESSION time_zone = '+00:00'"))
        name = "CONCAT('lume-services ', MD5(DATABASE()))"
        if not connection.scalar(text(f"SELECT GET_LOCK({name}, {MIGRATION_S})")):
            raise ModelDBUnavailableError(
                "Another process has been upgrading the tables of the model registry for "
                f"{MIGRATION_S} s. Try again when it has ended."
            )
        connection.commit()

    def version(self, connection: SQLAlchemyConnection) -> str:
        """Asks the server."""
        said = str(connection.exec_driver_sql("SELECT VERSION()").scalar())
        number, _, rest = said.partition("-")
        return f"{'MariaDB' if 'MariaDB' in rest else 'MySQL'} {number}"

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Whether it is one of the codes, or a connection that might have been made."""
        code, cause = _code(error), _cause(error)
        if code != _NO_CONNECTION:
            return code in _PASSING or error.connection_invalidated
        if isinstance(cause, socket.gaierror):
            return cause.errno == socket.EAI_AGAIN
        return not isinstance(cause, ssl.SSLError)

    def wrong_settings(self, error: exc.DBAPIError) -> tuple[str, ...]:
        """What the code, or what ended the attempt to connect, points to."""
        code, cause = _code(error), _cause(error)
        if code != _NO_CONNECTION:
            return _WRONG.get(code, ())
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ("HOST",) if cause.verify_code in _WRONG_NAME else ("TLS__CA_FILE",)
        if isinstance(cause, ssl.SSLError):
            return ("TLS__ENABLED", "TLS__CERTIFICATE_FILE")
        return ("HOST",) if isinstance(cause, socket.gaierror) else ("HOST", "PORT")

    def reason(self, error: exc.DBAPIError) -> str:
        """The driver's words, without the number."""
        return " ".join(str(_arguments(error)[-1]).split())


def _tls(tls: TLSConfig) -> ssl.SSLContext:
    ca, certificate, key = files_of(tls)
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"LUME_MODEL_DB__TLS__CA_FILE: {ca} holds no certificate (PEM)"
        ) from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"LUME_MODEL_DB__TLS__CERTIFICATE_FILE, LUME_MODEL_DB__TLS__KEY_FILE: {certificate}"
                f" and {key} are not a certificate and its key (PEM): {error.reason}"
            ) from error
    return context


def _arguments(error: exc.DBAPIError) -> tuple[Any, ...]:
    """The number and the words of an error; words alone where PyMySQL itself is at a loss."""
    return (error.orig.args if error.orig is not None else ()) or (0, "no reason given")


def _code(error: exc.DBAPIError) -> int:
    code = _arguments(error)[0]
    return code if isinstance(code, int) else 0


def _cause(error: exc.DBAPIError) -> BaseException | None:
    """What the operating system said when no connection was made."""
    return getattr(error.orig, "original_exception", None)
