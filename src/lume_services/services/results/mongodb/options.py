"""From settings to what PyMongo's client takes, and to the names that messages use."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from lume_services.errors import ConfigurationError, ResultsDBUnavailableError
from lume_services.services.results.settings import ResultsDBConfig
from lume_services.services.settings import TLSConfig, check_key

__all__ = ["Place", "client_arguments"]

_PREFIX = "LUME_RESULTS_DB__"
_PORT = 27017


class Place:
    """Where a database is, by its settings.

    Attributes:
        uri: What PyMongo connects to, without the password.
        database: The database's name.
        address: ``mongodb://host:port/database``: no user, no options, whoever asks.
        options: The options in ``uri``, their names in lower case.
        user: Who connects; None when nobody is named.
        is_encrypted: Whether the settings ask for TLS.
        variables: The variables in which ``host``, ``user``, ``password``, ``database``,
            ``options`` and others are set.

    Args:
        config: The settings.

    Raises:
        ConfigurationError: They name no database.
    """

    def __init__(self, config: ResultsDBConfig) -> None:
        if config.url is not None:
            self.uri = config.url
            names = dict.fromkeys(("host", "user", "database", "options"), f"{_PREFIX}URL")
        else:
            # Without a database in it, as users are in "admin" then, unless OPTIONS say otherwise.
            options = (config.options or "").lstrip("?")
            host = f"[{config.host}]" if str(config.host).count(":") > 1 else config.host
            self.uri = f"mongodb://{host}:{config.port}/?{options}"
            names = {"host": f"{_PREFIX}HOST", "user": f"{_PREFIX}USERNAME"}
            names |= {name: f"{_PREFIX}{name.upper()}" for name in ("database", "options")}
            names["mechanism"] = f"{_PREFIX}AUTHMECHANISM"
        names["password"] = f"{_PREFIX}PASSWORD"
        self.variables = names
        scheme, _, rest = self.uri.partition("://")
        found = re.fullmatch(r"(?:([^@/?]*)@)?([^/?]*)/?([^?]*)\??(.*)", rest)
        user, hosts, path, query = found.groups() if found else (None, rest, "", "")
        self.user = config.username if config.url is None else user and unquote(user)
        options_given = parse_qsl(query, keep_blank_values=True)
        self.options = {name.lower(): value for name, value in options_given}
        asked = config.tls is not None and config.tls.enabled
        self.is_encrypted = asked or not {"tls", "ssl"}.isdisjoint(self.options)
        self.database = config.database or unquote(path)
        if not self.database:
            raise ConfigurationError(
                f"{names['database']} names no database: write mongodb://host:{_PORT}/database."
            )
        if scheme == "mongodb":
            hosts = ",".join(sorted(map(_with_port, hosts.lower().split(","))))
        self.address = f"{scheme}://{hosts.lower()}/{self.database}"


def _with_port(host: str) -> str:
    return host if re.search(r":\d+$", host) else f"{host}:{_PORT}"


@contextmanager
def client_arguments(config: ResultsDBConfig, place: Place) -> Iterator[dict[str, Any]]:
    """Keyword arguments of ``MongoClient``; what the URL or OPTIONS say is not among them.

    Files that they name may be there only as long as the block lasts, in which the client has to
    be made and used once.

    Raises:
        ConfigurationError: The settings contradict each other, or a file cannot be used.
        ResultsDBUnavailableError: There is no room for a temporary file.
    """
    timeout_ms = round(config.connection.timeout_s * 1000)
    arguments: dict[str, Any] = {
        "appname": "lume-services",
        # What is acknowledged is on the disks of most members, and is seen by whoever reads.
        "w": "majority",
        "journal": True,
        "readConcernLevel": "majority",
        "retryWrites": True,
        "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms,
        # A server that stopped answering in the middle holds nobody for ever.
        "socketTimeoutMS": round(max(config.connection.retry_s * 1000, timeout_ms)),
    }
    if config.authmechanism != "DEFAULT":
        arguments["authMechanism"] = config.authmechanism
    if config.url is None and config.username is not None:
        arguments["username"] = config.username
    if place.user and config.password is not None:
        arguments["password"] = config.password.get_secret_value()
    if key := place.options.get("tlscertificatekeyfile"):
        check_key(Path(key), f"tlsCertificateKeyFile in {place.variables['options']}")
    with _tls(config.tls) as tls:
        arguments |= tls
        yield {name: arguments[name] for name in arguments if name.lower() not in place.options}


@contextmanager
def _tls(config: TLSConfig | None) -> Iterator[dict[str, Any]]:
    if config is None or not config.enabled:
        yield {}
        return
    config.check_files(f"{_PREFIX}TLS")
    arguments: dict[str, Any] = {"tls": True}
    if config.ca_file is not None:
        arguments["tlsCAFile"] = str(config.ca_file)
    if config.certificate_file is None:
        yield arguments
        return
    if config.key_file is None:
        yield {**arguments, "tlsCertificateKeyFile": str(config.certificate_file)}
        return
    # PyMongo takes both in one file: here in one of a folder of ours, and not for long.
    with ExitStack() as stack:
        try:
            both = Path(stack.enter_context(tempfile.TemporaryDirectory()), "both.pem")
            certificate = config.certificate_file.read_bytes().rstrip()
            both.write_bytes(certificate + b"\n" + config.key_file.read_bytes())
        except OSError as error:
            raise ResultsDBUnavailableError(
                f"The files of {_PREFIX}TLS__CERTIFICATE_FILE and {_PREFIX}TLS__KEY_FILE cannot be "
                f"joined in a temporary one: {error.strerror}. See that there is room in the "
                "folder of temporary files, which TMPDIR names."
            ) from error
        yield {**arguments, "tlsCertificateKeyFile": str(both)}
