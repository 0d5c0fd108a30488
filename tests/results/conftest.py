from __future__ import annotations

from typing import Any

import pytest

from lume_services.errors import BlobNotFoundError, CorruptBlobError, LUMEServicesError
from lume_services.services.results import ResultsDBService
from lume_services.services.results.memory import MemoryResultsDB


class CountingDB(MemoryResultsDB):
    """Says which blobs were read, and loses them when told so."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self._lost: dict[str, type[LUMEServicesError]] = {}

    def lose(self, digest: str, damage: str) -> None:
        self._lost[digest] = BlobNotFoundError if damage == "missing" else CorruptBlobError

    def get_blob(self, digest: str) -> bytearray:
        self.read.append(digest)
        if digest in self._lost:
            raise self._lost[digest](f"The blob {digest} is lost.")
        return super().get_blob(digest)


@pytest.fixture
def service() -> Any:
    return ResultsDBService(CountingDB())
