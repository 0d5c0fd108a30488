"""Every results database keeps every promise of the base class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lume_services.services.results import ResultsDB
from lume_services.services.results.sqlite import SQLiteResultsDB
from lume_services.testing import (
    MemoryResultsDB,
    ResultsDBConformance,
    SharedResultsDBConformance,
)
from lume_services.testing.document_cases import exactly


class TakesAnyDate:
    def test_dates_become_utc_in_whole_milliseconds(self, results_db: ResultsDB) -> None:
        zone = timezone(timedelta(hours=-5))
        given = [
            datetime(2024, 5, 1, 12, 0, 0, 123_999),
            datetime(2024, 5, 1, 7, 0, 0, 123_456, tzinfo=zone),
        ]
        results_db.insert_one("c", {"x": given})
        (document,) = results_db.scan("c")
        assert exactly(document["x"], [datetime(2024, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)] * 2)


class TestMemory(TakesAnyDate, ResultsDBConformance):
    @pytest.fixture
    def results_db(self) -> MemoryResultsDB:
        return MemoryResultsDB()


class TestSQLite(TakesAnyDate, SharedResultsDBConformance):
    @pytest.fixture
    def results_db(self, tmp_path: Path) -> Iterator[SQLiteResultsDB]:
        store = SQLiteResultsDB(tmp_path / "results.db")
        yield store
        store.close()

    @pytest.fixture
    def make_another(self, tmp_path: Path) -> Callable[[], ResultsDB]:
        return lambda: SQLiteResultsDB(tmp_path / "results.db")
