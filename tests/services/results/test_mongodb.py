"""What is MongoDB's own: settings, errors, its server's answers, other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lume_services.services.results import ResultsDB, ResultsDBConfig
from lume_services.services.results.mongodb import MongodbResultsDB
from lume_services.testing import SharedResultsDBConformance


@pytest.fixture
def results_db(mongodb_url: str) -> Iterator[MongodbResultsDB]:
    store = MongodbResultsDB(ResultsDBConfig(url=mongodb_url))
    yield store
    store.close()


class TestConformance(SharedResultsDBConformance):
    @pytest.fixture
    def make_another(self, mongodb_url: str) -> Callable[[], ResultsDB]:
        return lambda: MongodbResultsDB(ResultsDBConfig(url=mongodb_url))
