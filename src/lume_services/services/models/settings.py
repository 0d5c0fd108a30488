"""Settings of the model registry."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from lume_services.services.settings import HostName, ServerConfig, ServiceConfig, TLSConfig

__all__ = ["ConnectionConfig", "ModelDBConfig"]


class ConnectionConfig(ServiceConfig):
    """How connections to the registry are pooled."""

    pool_size: int = Field(
        1, ge=1, description="Connections kept open; up to ten more while they are in use."
    )
    pool_pre_ping: bool = Field(True, description="Test a pooled connection before it is used.")
    timeout_s: float = Field(
        4, gt=0, description="Seconds to wait for the server to accept a connection."
    )
    retry_s: float = Field(
        30,
        ge=0,
        description="Seconds in which to try again, once it was reached, when it is lost.",
    )


class ModelDBConfig(ServerConfig):
    """Where the model registry is: a SQL database, by its parts or by one URL."""

    host: HostName | None = Field(None, description="Host of the registry's database server.")
    port: int | None = Field(
        None, ge=1, le=65535, description="Its port; the dialect's own when not given."
    )
    user: str | None = Field(None, description="User to connect as.")
    password: SecretStr | None = Field(None, description="The user's password.")
    database: str | None = Field(None, description="Name of the database.")
    dialect_str: str = Field(
        "mysql+pymysql", description="SQLAlchemy dialect and driver used with HOST."
    )
    url: str | None = Field(
        None,
        description="Any SQLAlchemy URL, in place of HOST and the others; "
        "a password in it is kept as PASSWORD.",
    )
    connection: ConnectionConfig = Field(default_factory=ConnectionConfig)
    tls: TLSConfig | None = Field(None, description="Encrypted connections.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self._require(
            ("host", "user", "password", "database"), parts=("host", "port", "user", "database")
        )
        return self
