"""Settings of the results database."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from lume_services.services.settings import (
    ExpandedPath,
    HostName,
    PublicText,
    ServerConfig,
    ServiceConfig,
    TLSConfig,
)

__all__ = ["ResultsConnectionConfig", "ResultsDBConfig"]


class ResultsConnectionConfig(ServiceConfig):
    """How long to wait for the server of the results database."""

    timeout_s: float = Field(
        4, gt=0, description="Seconds to wait for the server to accept a connection."
    )
    retry_s: float = Field(
        30,
        ge=0,
        description="Seconds in which to try again, once it was reached, when it is lost.",
    )


class ResultsDBConfig(ServerConfig):
    """Where results are stored: a MongoDB server by its parts, or any store by one URL."""

    host: HostName | None = Field(None, description="Host of the MongoDB server.")
    port: int = Field(27017, ge=1, le=65535, description="Its port.")
    username: str | None = Field(None, description="User to connect as.")
    password: SecretStr | None = Field(None, description="The user's password.")
    database: str | None = Field(None, description="Name of the database.")
    authmechanism: str = Field("DEFAULT", description="MongoDB authentication mechanism.")
    options: PublicText | None = Field(None, description="Further MongoDB options, `name=value&…`.")
    url: str | None = Field(
        None,
        description="`sqlite:///path` or `mongodb://…`, in place of HOST and the others; "
        "a password in it is kept as PASSWORD.",
    )
    blobs: ExpandedPath | None = Field(
        None,
        description="Folder for values over 1 MiB, on a filesystem that all users of this "
        "database share; beside the documents when not given.",
    )
    connection: ResultsConnectionConfig = Field(default_factory=ResultsConnectionConfig)
    tls: TLSConfig | None = Field(None, description="Encrypted connections.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # A server that asks for no password is common on a laboratory's private network.
        needed = ["host", "database"]
        if self.username is not None or (self.password is not None and self.url is None):
            needed += ["username", "password"]
        self._require(needed, parts=("host", "username", "database"))
        return self
