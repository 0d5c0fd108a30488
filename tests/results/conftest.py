from __future__ import annotations

from typing import Any

import pytest

from lume_services.services.results import ResultsDBService
from lume_services.services.results.memory import MemoryResultsDB


class CountingDB(MemoryResultsDB):
    """Says which blobs were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get_blob(self, digest: str) -> bytearray:
        self.read.append(digest)
        return super().get_blob(digest)


@pytest.fixture
def service() -> Any:
    return ResultsDBService(CountingDB())
