"""The backend, for commands that need a Prefect server."""

from __future__ import annotations

from typing import Any

from lume_services.errors import ConfigurationError

__all__ = ["backend_of_server"]


def backend_of_server() -> Any:
    """The configured backend.

    Raises:
        ConfigurationError: It has no server.
    """
    from lume_services.config import configure, context
    from lume_services.services.scheduling.backends import Capability

    configure()
    backend = context.scheduling_service().backend
    if Capability.SCHEDULES not in backend.capabilities:
        raise ConfigurationError(
            f"LUME_BACKEND={context.settings.backend!r} keeps no runs: set LUME_BACKEND to that of "
            "the Prefect server, process for example."
        )
    return backend
