"""Settings of the scheduling service: where Prefect is, for the backends that need a server.

The names are those of the Prefect 1 settings that users have in their environment files. What has
no meaning under Prefect 3 (agent, telemetry) is accepted and warned about.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from lume_services.services.settings import ExpandedPath, PublicText, ServiceConfig

__all__ = [
    "PrefectAgentConfig",
    "PrefectConfig",
    "PrefectServerConfig",
    "PrefectTelemetryConfig",
    "PrefectUIConfig",
]


class PrefectServerConfig(ServiceConfig):
    """The Prefect server."""

    tag: str = Field("3.9.0-python3.11", description="Tag of the server's container image.")
    host: PublicText = Field("http://localhost", description="Host of the Prefect server.")
    host_port: int = Field(4200, ge=1, le=65535, description="Its port.")
    host_ip: str = Field("127.0.0.1", description="Address that its container publishes on.")


class PrefectUIConfig(ServiceConfig):
    """The pages of the Prefect server, for links."""

    host: PublicText = Field("http://localhost", description="Host of the pages.")
    host_port: int = Field(4200, ge=1, le=65535, description="Their port.")
    host_ip: str = Field("127.0.0.1", description="Address that they are published on.")


class PrefectTelemetryConfig(ServiceConfig):
    """Prefect 1's telemetry switch."""

    enabled: bool = Field(False, description="Ignored: Prefect 3 has its own setting.")


class PrefectAgentConfig(ServiceConfig):
    """Prefect 1's agent."""

    host: PublicText = Field("http://localhost", description="Ignored: Prefect 3 has workers.")
    host_port: int = Field(5000, ge=1, le=65535, description="Ignored: Prefect 3 has workers.")


class PrefectConfig(ServiceConfig):
    """Where Prefect is and how it behaves."""

    server: PrefectServerConfig = Field(default_factory=PrefectServerConfig)
    ui: PrefectUIConfig = Field(default_factory=PrefectUIConfig)
    telemetry: PrefectTelemetryConfig = Field(default_factory=PrefectTelemetryConfig)
    agent: PrefectAgentConfig = Field(default_factory=PrefectAgentConfig)
    home_dir: ExpandedPath = Field(Path("~/.prefect"), description="Prefect's own folder.")
    debug: bool = Field(False, description="Log at level DEBUG.")
    backend: Literal["server", "cloud"] = Field(
        "server", description="Ignored: `cloud` is configured by Prefect's own variables."
    )
    default_image: str | None = Field(None, description="Image of jobs that name none.")
    isolated: bool = Field(False, description="Install packages from local sources only.")

    @property
    def api_url(self) -> str:
        """Address of the server's API; Prefect's own ``PREFECT_API_URL`` when SERVER is not set."""
        elsewhere = os.environ.get("PREFECT_API_URL")
        if elsewhere and "server" not in self.model_fields_set:
            return elsewhere
        return f"{_with_scheme(self.server.host)}:{self.server.host_port}/api"

    @property
    def ui_url(self) -> str:
        """Address of the server's pages, for links; that of the server when UI is not set."""
        if "ui" not in self.model_fields_set:
            return self.api_url.removesuffix("/api")
        return f"{_with_scheme(self.ui.host)}:{self.ui.host_port}"


def _with_scheme(host: str) -> str:
    return (host if "://" in host else f"http://{host}").rstrip("/")
