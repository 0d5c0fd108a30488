"""What the settings of the four services have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, model_validator

__all__ = ["ExpandedPath", "HostName", "ServerConfig", "ServiceConfig"]

_REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SECRET_OPTION = re.compile(r"[?&;](\w*(?:password|passwd|secret|token)\w*)=", re.IGNORECASE)


def _expand(path: Any) -> Any:
    """Expand ``~``, ``${NAME}`` and ``${NAME:-default}``, as the shell would have done."""
    if not isinstance(path, str | os.PathLike):
        return path

    def value(reference: re.Match[str]) -> str:
        name, default = reference.groups()
        if name not in os.environ and default is None:
            raise ValueError(f"the variable {name} in this path is not set")
        return os.environ.get(name) or default or ""

    return Path(_REFERENCE.sub(value, os.fspath(path))).expanduser()


def _without_scheme(host: Any) -> Any:
    """``http://mysql`` is the host ``mysql``: environment files of Prefect 1 days say so."""
    return re.sub(r"^\w+://", "", host).rstrip("/") if isinstance(host, str) else host


ExpandedPath = Annotated[Path, BeforeValidator(_expand)]
"""A path in which ``~`` and ``${NAME}`` are expanded."""

HostName = Annotated[str, BeforeValidator(_without_scheme)]
"""The host of a database server; a scheme in front of it is dropped."""


class ServiceConfig(BaseModel):
    """Base of the services' settings: nothing unknown is taken, and no input shows in errors."""

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
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


class ServerConfig(ServiceConfig):
    """Settings of a database server: its parts, or one URL whose password is kept apart.

    In error messages a name in backticks stands for the variable of that field.
    """

    url: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _password_out_of_url(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("url"), str):
            return values
        url, password = _split_password(values["url"])
        if option := _SECRET_OPTION.search(url):
            raise ValueError(f"`URL` holds a secret in its option {option[1]}; use `PASSWORD`")
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
