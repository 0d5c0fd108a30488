"""What every test gets: a private LUME_HOME, no LUME_* variable of the caller, no service left."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lume_services.context import context


@pytest.fixture(autouse=True)
def lume_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A LUME_HOME of this test's own; the services are closed and forgotten afterwards."""
    for name in list(os.environ):
        if name.upper().startswith("LUME_") and not name.upper().startswith("LUME_TEST_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("lume-home")
    monkeypatch.setenv("LUME_HOME", str(home))
    # So that a Prefect engine run, where a test starts one, never touches the user's own folder.
    monkeypatch.setenv("PREFECT_HOME", str(home / "prefect"))
    secrets = tmp_path_factory.mktemp("no-secrets")
    monkeypatch.setenv("LUME_SECRETS_DIR", str(secrets))
    yield home
    context.close()
    context._settings = None


class _CurrentStderr(io.TextIOBase):
    """Whatever ``sys.stderr`` is at the time of writing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)


@pytest.fixture(autouse=True)
def prefect_log_follows_stderr() -> None:
    """Prefect logs to the stderr of when it was set up, and pytest has a new one each test."""
    for handler in logging.getLogger().handlers:
        if console := getattr(handler, "console", None):
            console.file = _CurrentStderr()


@pytest.fixture
def python() -> str:
    """The interpreter to start other processes with."""
    return sys.executable
