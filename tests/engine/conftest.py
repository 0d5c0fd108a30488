"""What tests of the engine share."""

from __future__ import annotations

import pytest
from prefect.client.orchestration import PrefectClient, SyncPrefectClient


@pytest.fixture
def no_prefect_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a client of Prefect's API, synchronous or not, fails the test."""

    def refuse(self: object, *args: object, **options: object) -> None:
        raise AssertionError("a client of Prefect's API was made")

    monkeypatch.setattr(SyncPrefectClient, "__init__", refuse)
    monkeypatch.setattr(PrefectClient, "__init__", refuse)
