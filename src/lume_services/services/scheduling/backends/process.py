"""The process backend: runs are processes of the machine that a worker is on."""

from __future__ import annotations

from lume_services.services.scheduling.backends.server import ServerBackend
from lume_services.services.scheduling.run_configs import ProcessRunConfig

__all__ = ["ProcessBackend"]


class ProcessBackend(ServerBackend):
    """Runs flows in processes that a worker on any machine starts: ``lume-services worker start``.

    With a worker on this machine the embedded stores can be used.
    """

    pool_type = "process"
    run_config_type = ProcessRunConfig
    shares_disk = True
