"""The docker backend: runs are containers of the machine that a worker is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from lume_services.services.scheduling.backends._elsewhere import refuse_embedded_stores
from lume_services.services.scheduling.backends.server import ServerBackend
from lume_services.services.scheduling.run_configs import DockerRunConfig

if TYPE_CHECKING:
    from lume_services.services.results import ResultsDBService

__all__ = ["DockerBackend"]


class DockerBackend(ServerBackend):
    """Runs flows in containers that a worker starts: ``lume-services worker start``.

    The model has to be importable in the image. Containers share no disk with anybody, so the
    stores have to be on servers.
    """

    pool_type = "docker"
    run_config_type = DockerRunConfig

    @classmethod
    def from_settings(cls, settings: Any, *, results: Callable[[], ResultsDBService]) -> Self:
        """Make the backend of the ``LUME_PREFECT__…`` settings.

        Raises:
            ConfigurationError: A store is a file of this machine.
        """
        refuse_embedded_stores(settings)
        return super().from_settings(settings, results=results)
