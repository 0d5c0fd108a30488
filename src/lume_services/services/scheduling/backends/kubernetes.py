"""The kubernetes backend: runs are Jobs of the cluster that a worker is in, or speaks to."""

from __future__ import annotations

from lume_services.services.scheduling.backends.server import ServerBackend
from lume_services.services.scheduling.run_configs import KubernetesRunConfig

__all__ = ["KubernetesBackend"]


class KubernetesBackend(ServerBackend):
    """Runs flows as Jobs that a worker makes: ``lume-services worker start``.

    The model has to be importable in the image. Pods share no disk with anybody, so the stores
    have to be on servers.
    """

    pool_type = "kubernetes"
    run_config_type = KubernetesRunConfig
