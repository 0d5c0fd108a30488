"""Starting a worker for the backend that is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lume_services import plugins
from lume_services.errors import ConfigurationError

if TYPE_CHECKING:
    from lume_services.settings import LUMEServicesSettings

__all__ = ["start_worker"]


def start_worker(
    settings: LUMEServicesSettings,
    *,
    name: str | None = None,
    limit: int | None = None,
    work_pool: str | None = None,
    network: str | None = None,
) -> None:
    """Take runs from the Prefect server and start a job for each, until the process is ended.

    Args:
        settings: The worker's settings, which its jobs get: ``backend`` says what jobs are,
            ``prefect`` where the server is.
        name: The worker's name on Prefect's pages; made up when None.
        limit: Jobs at a time, at most; as many as are asked for when None.
        work_pool: The work pool; that of the backend when None.
        network: Docker's network for jobs that ask for none, as ``docker run --network`` takes it.

    Raises:
        ConfigurationError: The backend has no workers, or its jobs have no such network.
        SchedulingUnavailableError: The Prefect server does not answer.
    """
    from lume_services.context import context

    if settings.backend not in plugins.names(plugins.WORKERS):
        raise ConfigurationError(
            f"LUME_BACKEND={settings.backend!r} runs flows without a worker. Set LUME_BACKEND to "
            "what the jobs of this worker are to be: process or docker."
        )
    if network is not None and settings.backend != "docker":
        raise ConfigurationError(
            f"LUME_BACKEND={settings.backend!r} has no networks: network={network!r} is for docker."
        )
    import asyncio

    from prefect.settings import PREFECT_API_URL, temporary_settings

    from lume_services.workers.environment import JobEnvironment

    backend: Any = context.container.backend()
    worker_class = plugins.load(plugins.WORKERS, settings.backend, variable="LUME_BACKEND")
    with temporary_settings({PREFECT_API_URL: backend.api.url}):
        backend.make_work_pool()
        worker = worker_class(work_pool_name=work_pool or backend.work_pool, name=name, limit=limit)
        worker.jobs = JobEnvironment(settings, network=network)
        asyncio.run(worker.start())
