"""The kubernetes backend: runs are Jobs of the cluster that a worker is in, or speaks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from lume_services.services.scheduling.backends._elsewhere import refuse_embedded_stores
from lume_services.services.scheduling.backends.server import ServerBackend
from lume_services.services.scheduling.run_configs import KubernetesRunConfig

if TYPE_CHECKING:
    from lume_services.services.results import ResultsDBService

__all__ = ["KubernetesBackend"]


class KubernetesBackend(ServerBackend):
    """Runs flows as Jobs that a worker makes: ``lume-services worker start``.

    The model has to be importable in the image. Pods share no disk with anybody, so the stores
    have to be on servers.
    """

    pool_type = "kubernetes"
    run_config_type = KubernetesRunConfig

    @classmethod
    def from_settings(cls, settings: Any, *, results: Callable[[], ResultsDBService]) -> Self:
        """Make the backend of the ``LUME_PREFECT__…`` settings.

        Raises:
            ConfigurationError: A store is a file of this machine.
        """
        refuse_embedded_stores(settings)
        return super().from_settings(settings, results=results)
