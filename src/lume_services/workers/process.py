"""A worker whose jobs are processes of its machine."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from lume_services.workers._places import give_up_place
from lume_services.workers.environment import JobEnvironment

__all__ = ["LUMEProcessWorker"]


class _JobConfiguration(ProcessJobConfiguration):
    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """Let Prefect prepare it, but run our job."""
        self.command = command_to_string([sys.executable, "-m", "lume_services.job"])
        super().prepare_for_flow_run(*arguments, **named)


with warnings.catch_warnings():
    # It takes the place of Prefect's own worker of this type, which Prefect warns about.
    warnings.simplefilter("ignore", UserWarning)

    class LUMEProcessWorker(ProcessWorker):
        """Prefect's process worker; its jobs have the worker's settings, and run our engine."""

        job_configuration = _JobConfiguration
        jobs: JobEnvironment

        async def run(
            self, flow_run: Any, configuration: ProcessJobConfiguration, task_status: Any = None
        ) -> ProcessWorkerResult:
            """Start a job and wait for it."""
            give_up_place(self, flow_run, configuration)
            # Prefect adds what the run asks for to a copy of our variables, secrets and all.
            added = {
                name: text
                for name, text in configuration.env.items()
                if os.environ.get(name) != text
            }
            configuration.env = {**self.jobs.of_process(), **added}
            return await super().run(flow_run, configuration, task_status)
