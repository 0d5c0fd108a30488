"""A worker whose jobs are containers of its machine."""

from __future__ import annotations

import os
import warnings
from asyncio import to_thread
from contextlib import closing, suppress
from typing import Any

from docker.errors import DockerException, ImageNotFound, NotFound
from prefect_docker.worker import (
    DockerWorker,
    DockerWorkerJobConfiguration,
    DockerWorkerResult,
)

from lume_services.errors import ConfigurationError
from lume_services.workers._places import give_up_place
from lume_services.workers.environment import IN_CONTAINERS, JobEnvironment

__all__ = ["LUMEDockerWorker"]


class _JobConfiguration(DockerWorkerJobConfiguration):  # type: ignore[misc]  # no types
    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """Let Prefect prepare it, but run our job."""
        self.command = "python -m lume_services.job"
        super().prepare_for_flow_run(*arguments, **named)


with warnings.catch_warnings():
    # It takes the place of Prefect's own worker of this type, which Prefect warns about.
    warnings.simplefilter("ignore", UserWarning)

    class LUMEDockerWorker(DockerWorker):  # type: ignore[misc]  # no types
        """Prefect's Docker worker; its jobs have the worker's settings, and run our engine."""

        job_configuration = _JobConfiguration
        jobs: JobEnvironment

        async def run(
            self,
            flow_run: Any,
            configuration: DockerWorkerJobConfiguration,
            task_status: Any = None,
        ) -> DockerWorkerResult:
            """Start a container and wait for it; remove it unless it crashed."""
            give_up_place(self, flow_run, configuration)
            configuration.env = self.jobs.of_container(configuration.env)
            asked = flow_run.job_variables or {}
            if "image" not in asked:
                configuration.image = self.jobs.image
            if self.jobs.network and asked.keys().isdisjoint(("network_mode", "networks")):
                configuration.network_mode = self.jobs.network
            configuration.volumes = [
                *configuration.volumes,
                f"{self.jobs.secrets}:{IN_CONTAINERS}:ro",
                *self.jobs.mounts(),
            ]
            # Who may read the files with the secrets.
            user = f"{os.getuid()}:{os.getgid()}"
            configuration.container_create_kwargs = {
                "user": user,
                **(configuration.container_create_kwargs or {}),
            }
            try:
                result = await super().run(flow_run, configuration, task_status)
            except (DockerException, RuntimeError) as error:
                if await to_thread(self._has, configuration.image):
                    raise
                raise ConfigurationError(
                    f"The image {configuration.image!r} is not on the worker's machine and could "
                    f"not be fetched: {error}. Make it there with `lume-services docker build`, or "
                    "name another in LUME_PREFECT__DEFAULT_IMAGE or DockerRunConfig."
                ) from error
            if result.status_code == 0:
                await to_thread(self._remove, result.identifier)
            return result

        def _has(self, image: str) -> bool:
            with closing(self._get_client()) as client, suppress(ImageNotFound):
                client.images.get(image)
                return True
            return False

        def _remove(self, identifier: str) -> None:
            _, container = self._parse_infrastructure_pid(identifier)
            with closing(self._get_client()) as client, suppress(NotFound):
                client.containers.get(container).remove()
