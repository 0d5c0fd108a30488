"""A Prefect server for the tests of this folder, and workers on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import Prefect, Worker


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """One for all tests of a process."""
    with Prefect(tmp_path_factory.mktemp("prefect-server")) as server:
        yield server


@pytest.fixture(scope="session")
def variables(prefect_server: Prefect) -> Callable[[str, Path], dict[str, str]]:
    """The variables of a backend on that server, with embedded stores in a folder."""

    def of(backend: str, home: Path) -> dict[str, str]:
        return {
            "LUME_BACKEND": backend,
            "LUME_HOME": str(home),
            "LUME_PREFECT__SERVER__HOST": prefect_server.host,
            "LUME_PREFECT__SERVER__HOST_PORT": str(prefect_server.port),
        }

    return of


@pytest.fixture(scope="session")
def process_worker(
    variables: Callable[[str, Path], dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker whose jobs are processes, with a LUME_HOME of its own."""
    home = tmp_path_factory.mktemp("process")
    with Worker(home, variables("process", home)) as worker:
        yield worker
