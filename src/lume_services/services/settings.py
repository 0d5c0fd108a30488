"""What the settings of the four services have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lume_services.errors import ConfigurationError

__all__ = [
    "NOT_TO_BE_SHOWN",
    "ExpandedPath",
    "FolderOrURL",
    "HostName",
    "PublicText",
    "PublicURL",
    "ServerConfig",
    "ServiceConfig",
    "TLSConfig",
    "check_key",
]

NOT_TO_BE_SHOWN = "not_to_be_shown"
"""Type of the error about a value that must not be shown."""

_REFERENCE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
# Options of URLs in which drivers and services take secrets.
_SECRET_OPTION = re.compile(
    r"(?:^|[?&;#])([\w.]*"
    r"(?:pass|pwd|secret|token|api_?key|access_?key|credential|mechanismproperties|odbc_connect)"
    r"[\w.]*)=",
    re.IGNORECASE,
)

# Behind the host of a URL, which is where a slash in a user's name or password moves the rest.
_LOGIN_IN_PATH = re.compile(r"[^:]+://[^/?#]+/[^?#]*:[^?#]*@")
_ENCRYPTED_KEY = re.compile(rb"^(?:-----BEGIN ENCRYPTED |Proc-Type:.*ENCRYPTED)", re.MULTILINE)


def _expand(path: Any) -> Any:
    """Expand ``~``, ``$NAME``, ``${NAME}`` and ``${NAME:-default}``, as the shell would have."""
    if not isinstance(path, str | os.PathLike):
        return path

    def value(reference: re.Match[str]) -> str:
        braced, default, bare = reference.groups()
        name = braced or bare
        if name not in os.environ and default is None:
            raise ValueError(f"the variable {name} in this path is not set")
        return os.environ.get(name) or default or ""

    return Path(_REFERENCE.sub(value, os.fspath(path))).expanduser()


def _without_scheme(host: str) -> str:
    """``http://mysql`` is the host ``mysql``: environment files of Prefect 1 days say so."""
    return re.sub(r"^\w+://", "", host).rstrip("/")


def _without_secret(text: str) -> str:
    """Refuse what would show a secret wherever settings are shown.

    Raises:
        PydanticCustomError: It holds a password or the like.
    """
    if _split_password(text)[1] is not None or "@" in text.partition("://")[2]:
        raise PydanticCustomError(
            NOT_TO_BE_SHOWN, "holds a user or password, which would be shown with it: leave it out"
        )
    return _without_secret_option(text)


def _without_secret_option(text: str) -> str:
    if option := _SECRET_OPTION.search(text):
        raise PydanticCustomError(
            NOT_TO_BE_SHOWN,
            "holds a secret in its option {option}, which would be shown: leave it out",
            {"option": option[1]},
        )
    return text


def _without_password(url: str) -> str:
    """Refuse a password in a URL; a user may be there, and an ``@`` in its path.

    Raises:
        PydanticCustomError: It holds a password or the like.
    """
    port = re.match(r"\w[^/@]*://[^/@:]*:\d*(/|$)", url)
    if _split_password(url)[1] is not None and not port:
        raise PydanticCustomError(
            NOT_TO_BE_SHOWN,
            "holds a password, which would be shown with it: leave it out and give it as an option",
        )
    return _without_secret_option(url)


ExpandedPath = Annotated[Path, BeforeValidator(_expand)]
"""A path in which ``~`` and ``${NAME}`` are expanded."""

FolderOrURL = Annotated[
    str,
    AfterValidator(_without_secret),
    BeforeValidator(lambda value: value if "://" in str(value) else str(_expand(value))),
]
"""A path as in ``ExpandedPath``, or a URL without user and password."""

PublicText = Annotated[str, AfterValidator(_without_secret)]
"""Text that is shown wherever settings are shown; what looks like a secret in it is refused."""

PublicURL = Annotated[str, AfterValidator(_without_password)]
"""A URL that is shown wherever settings are shown: it may name a user, but holds no password."""

HostName = Annotated[PublicText, AfterValidator(_without_scheme)]
"""The host of a database server; a scheme in front of it is dropped."""


class ServiceConfig(BaseModel):
    """Base of the services' settings: nothing unknown is taken, and no input shows in errors.

    A part of the settings does not change; assign a new one to ``LUMEServicesSettings``.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        # Compose files pass every variable on, empty where the user set none.
        if isinstance(values, Mapping):
            return {name: value for name, value in values.items() if value != ""}
        return values


class TLSConfig(ServiceConfig):
    """Encrypted connections to a server; setting any part of it asks for them.

    The server's certificate and host name are checked, always.
    """

    enabled: bool = Field(True, description="Whether connections are encrypted.")
    ca_file: ExpandedPath | None = Field(
        None, description="Certificates to trust (PEM); those of the system when not given."
    )
    certificate_file: ExpandedPath | None = Field(
        None, description="Certificate to identify as (PEM), where the server asks for one."
    )
    key_file: ExpandedPath | None = Field(
        None, description="Its private key (PEM); in the file of the certificate when not given."
    )

    def check_files(self, variable: str) -> None:
        """See whether the files can be used, which drivers tell in words of their own, if at all.

        Args:
            variable: The variable of these settings, ``LUME_…__TLS``, for the message.

        Raises:
            ConfigurationError: One of them cannot be read, or holds a key that is encrypted.
        """
        if self.ca_file is not None:
            _read(self.ca_file, f"{variable}__CA_FILE")
        for name in ("certificate_file", "key_file"):
            if (path := getattr(self, name)) is not None:
                check_key(path, f"{variable}__{name.upper()}")


def check_key(path: Path, setting: str) -> None:
    """See whether a file can be read, and that no passphrase is needed for a private key in it.

    OpenSSL would ask for it on the terminal, and wait.

    Args:
        path: The file (PEM).
        setting: What names it, for the message.

    Raises:
        ConfigurationError: It cannot, or there is.
    """
    if _ENCRYPTED_KEY.search(_read(path, setting)):
        raise ConfigurationError(
            f"{setting}: the private key in {path} is encrypted with a passphrase, which cannot be "
            "given. Put it without one (openssl pkey -in … -out …) into a file that only you can "
            "read."
        )


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}.") from None


class ServerConfig(ServiceConfig):
    """Settings of a database server: its parts, or one URL whose password is kept apart.

    In error messages a name in backticks stands for the variable of that field.
    """

    url: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _password_out_of_url(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("url") is None:
            return values
        if not isinstance(values["url"], str) or "://" not in values["url"]:
            raise ValueError("`URL` is not a URL: scheme://…")
        url, password = _split_password(values["url"])
        if option := _SECRET_OPTION.search(url):
            raise ValueError(f"`URL` holds a secret in its option {option[1]}; use `PASSWORD`")
        if _LOGIN_IN_PATH.match(url):
            raise ValueError(
                "`URL` seems to hold a password behind its host: write a '/' in a user's name or "
                "password as %2F"
            )
        if password is None:
            return values
        given = values.get("password")
        if isinstance(given, SecretStr):
            given = given.get_secret_value()
        if given not in (None, password):
            raise ValueError("`PASSWORD` differs from the password inside `URL`: give one of them")
        return {**values, "url": url, "password": SecretStr(password)}

    def _require(self, needed: Iterable[str], *, parts: Iterable[str]) -> None:
        """Check that there is a URL, or every part that is needed.

        Raises:
            ValueError: A part is missing, or URL and parts are both there.
        """
        given = [name for name in parts if getattr(self, name) is not None]
        if self.url is not None:
            if given:
                names = ", ".join(f"`{name.upper()}`" for name in given)
                raise ValueError(f"`URL` is given together with {names}: use one or the other")
            return
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            names = ", ".join(f"`{name.upper()}`" for name in missing)
            raise ValueError(f"incomplete: set {names}, or `URL` in place of all")


def _split_password(url: str) -> tuple[str, str | None]:
    """Take the password out of ``scheme://user:password@host/…``."""
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password with an unescaped slash hides the '@' from the authority; look further then.
    end = authority.rfind("@") if "@" in authority else rest.rfind("@")
    user, colon, password = rest[: max(end, 0)].partition(":")
    if not separator or end < 0 or not colon or "/" in user:
        return url, None
    return f"{scheme}://{user}{rest[end:]}", unquote(password)
