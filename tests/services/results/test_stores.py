"""Every results database keeps every promise of the base class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lume_services.services.results import ResultsDB
from lume_services.services.results.sqlite import SQLiteResultsDB
from lume_services.testing import (
    MemoryResultsDB,
    ResultsDBConformance,
    SharedResultsDBConformance,
)


class TestMemory(ResultsDBConformance):
    @pytest.fixture
    def results_db(self) -> MemoryResultsDB:
        return MemoryResultsDB()


class TestSQLite(SharedResultsDBConformance):
    @pytest.fixture
    def results_db(self, tmp_path: Path) -> Iterator[SQLiteResultsDB]:
        store = SQLiteResultsDB(tmp_path / "results.db")
        yield store
        store.close()

    @pytest.fixture
    def make_another(self, tmp_path: Path) -> Callable[[], ResultsDB]:
        return lambda: SQLiteResultsDB(tmp_path / "results.db")
