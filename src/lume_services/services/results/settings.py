"""Settings of the results database."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["ResultsDBConfig"]


class ResultsDBConfig(BaseModel):
    """Where results are stored: a MongoDB server by its parts, or any store by one URL."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    host: str | None = Field(None, description="Host of the MongoDB server.")
    port: int = Field(27017, ge=1, le=65535, description="Its port.")
    username: str | None = Field(None, description="User to connect as.")
    password: SecretStr | None = Field(None, description="The user's password.")
    database: str | None = Field(None, description="Name of the database.")
    authmechanism: str = Field("DEFAULT", description="MongoDB authentication mechanism.")
    options: str | None = Field(None, description="Further MongoDB options, `name=value&…`.")
    url: str | None = Field(
        None,
        description="`sqlite:///path` or `mongodb://…`, in place of HOST and the others; "
        "a password in it is kept as PASSWORD.",
    )
