"""The public face of configuration: settings, ``configure()`` and ``context``.

>>> from lume_services.config import configure, context
>>> configure()                                        # doctest: +SKIP
>>> context.results_db_service().find("local")         # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lume_services import plugins
from lume_services.context import context
from lume_services.settings import EnvironmentVariable, LUMEServicesSettings, get_env_vars

if TYPE_CHECKING:
    from lume_services.container import Context
    from lume_services.services.files.filesystems import Filesystem
    from lume_services.services.models.db import ModelDB
    from lume_services.services.results import ResultsDB
    from lume_services.services.scheduling.backends import Backend

__all__ = [
    "Context",
    "EnvironmentVariable",
    "LUMEServicesSettings",
    "configure",
    "context",
    "get_env_vars",
]


def configure(
    settings: LUMEServicesSettings | None = None,
    *,
    model_db: ModelDB | None = None,
    results_db: ResultsDB | None = None,
    filesystems: Sequence[Filesystem] | None = None,
    backend: Backend | None = None,
) -> None:
    """Configure LUME-services in this process, from ``LUME_*`` variables unless told otherwise.

    Nothing is connected and no driver is imported: that happens when a service is first used.
    Calling it again replaces every service and closes the old connections.

    What you pass in stays yours: it is used until the next call, and not closed.

    Args:
        settings: The settings; read from the environment when not given.
        model_db: Your own implementation of the model registry's database.
        results_db: Your own implementation of ``ResultsDB``.
        filesystems: The filesystems to use, in place of those in the settings.
        backend: Your own implementation of ``Backend``.

    Raises:
        ConfigurationError: A variable is wrong, missing, or names what is not available.
    """
    if settings is None:
        settings = LUMEServicesSettings()
    if backend is None:
        plugins.check(plugins.BACKENDS, settings.backend, variable="LUME_BACKEND")
    if results_db is None:
        plugins.check(
            plugins.RESULTS_DBS, settings.results_store, variable=settings.results_store_variable
        )
    for identifier, config in settings.filesystems.items() if filesystems is None else ():
        variable = f"LUME_FILESYSTEMS__{identifier.upper()}__URL"
        plugins.check(plugins.FILESYSTEMS, config.scheme, variable=variable)
    given = {
        "model_db": model_db,
        "results_db": results_db,
        "filesystems": None if filesystems is None else list(filesystems),
        "backend": backend,
    }
    context._configure(settings, {name: mine for name, mine in given.items() if mine is not None})


def __getattr__(name: str) -> Any:
    # The container's library takes longer to import than all the rest of this module.
    if name == "Context":
        from lume_services.container import Context

        return Context
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
