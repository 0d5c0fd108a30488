"""Starting a worker for the backend that is configured."""

from __future__ import annotations

from pathlib import Path
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
    job_template: Path | None = None,
) -> None:
    """Take runs from the Prefect server and start a job for each, until the process is ended.

    Args:
        settings: The worker's settings, which its jobs get: ``backend`` says what jobs are,
            ``prefect`` where the server is.
        name: The worker's name on Prefect's pages; that of the machine and a number when None.
        limit: Jobs at a time, at most; as many as are asked for when None.
        work_pool: The work pool; that of the backend when None.
        network: Docker's network for jobs that ask for none, as ``docker run --network`` takes it.
        job_template: YAML file with parts of a Kubernetes Job, laid over that of every job.

    Raises:
        ConfigurationError: The backend has no workers, or its jobs have no such network or
            template; or its cluster does not answer.
        SchedulingUnavailableError: The Prefect server does not answer.
    """
    from lume_services._variables import export_prefect_secrets
    from lume_services.context import context

    export_prefect_secrets()  # before anything imports Prefect
    if settings.backend not in plugins.names(plugins.WORKERS):
        raise ConfigurationError(
            f"LUME_BACKEND={settings.backend!r} runs flows without a worker. Set LUME_BACKEND to "
            f"what the jobs of this worker are to be: {', '.join(plugins.names(plugins.WORKERS))}."
        )
    if network is not None and settings.backend != "docker":
        raise ConfigurationError(
            f"LUME_BACKEND={settings.backend!r} has no networks: network={network!r} is for docker."
        )
    if job_template is not None and settings.backend != "kubernetes":
        raise ConfigurationError(
            f"LUME_BACKEND={settings.backend!r} makes no Kubernetes Jobs: "
            f"job_template={str(job_template)!r} is for kubernetes."
        )
    import asyncio
    import os
    import platform
    import signal

    from prefect.settings import PREFECT_API_URL, temporary_settings

    from lume_services.kubernetes import read_job_template
    from lume_services.workers.environment import JobEnvironment

    template = {} if job_template is None else read_job_template(job_template)
    backend: Any = context.container.backend()
    worker_class = plugins.load(plugins.WORKERS, settings.backend, variable="LUME_BACKEND")
    with temporary_settings({PREFECT_API_URL: backend.api.url}):
        backend.make_work_pool()
        worker = worker_class(
            work_pool_name=work_pool or backend.work_pool,
            name=name or f"{platform.node()} {os.getpid()}",
            limit=limit,
        )
        worker.jobs = JobEnvironment(settings, network=network)
        worker.job_template = template
        # As Ctrl-C does it: in good order, and without leaving secrets behind.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        asyncio.run(worker.start())
