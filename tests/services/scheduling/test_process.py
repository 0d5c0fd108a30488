"""The process backend: a real Prefect server, a real worker."""

from __future__ import annotations

import pytest
from tests.servers import Worker

from lume_services.config import configure, context
from lume_services.services.scheduling.backends import Backend
from lume_services.services.scheduling.run_configs import ProcessRunConfig, RunConfig
from lume_services.testing.backends import BackendConformance

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def configured(process_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in process_worker.variables.items():
        monkeypatch.setenv(name, text)
    configure()


class TestProcessBackend(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return context.scheduling_service().backend

    @pytest.fixture
    def run_config(self) -> RunConfig:
        return ProcessRunConfig(env={"SHOWN": "yes"})
