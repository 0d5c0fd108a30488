"""The docker backend: runs are containers of the machine that a worker is on."""

from __future__ import annotations

from lume_services.services.scheduling.backends.server import ServerBackend
from lume_services.services.scheduling.run_configs import DockerRunConfig

__all__ = ["DockerBackend"]


class DockerBackend(ServerBackend):
    """Runs flows in containers that a worker starts: ``lume-services worker start``.

    The model has to be importable in the image. Containers share no disk with anybody, so the
    stores have to be on servers.
    """

    pool_type = "docker"
    run_config_type = DockerRunConfig
