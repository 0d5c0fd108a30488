"""Settings of the model registry."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["ConnectionConfig", "ModelDBConfig"]


class ConnectionConfig(BaseModel):
    """How connections to the registry are pooled."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    pool_size: int = Field(1, ge=1, description="Connections kept open.")
    pool_pre_ping: bool = Field(True, description="Test a pooled connection before it is used.")


class ModelDBConfig(BaseModel):
    """Where the model registry is: a SQL database, by its parts or by one URL."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    host: str | None = Field(None, description="Host of the registry's database server.")
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
