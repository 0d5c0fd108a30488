"""Whatever is stored and asked: each store answers as the one in memory does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results import ResultsDB, ResultsDBConfig
from lume_services.services.results.mongodb import MongodbResultsDB
from lume_services.services.results.sqlite import SQLiteResultsDB
from lume_services.testing import MemoryResultsDB
from lume_services.testing.strategies import documents, fields, paths, queries, sorts


@pytest.fixture(params=["sqlite", "mongodb"])
def results_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultsDB]:
    store: ResultsDB
    if request.param == "sqlite":
        store = SQLiteResultsDB(tmp_path / "results.db")
    else:
        url = request.getfixturevalue("mongodb_url")
        store = MongodbResultsDB(ResultsDBConfig(url=url))
    yield store
    store.close()


RANDOM = given(
    st.lists(documents(), min_size=1, max_size=6),
    st.lists(st.tuples(queries(), fields(), sorts()), min_size=1, max_size=6),
    paths(),
    st.integers(0, 2),
    st.sampled_from([None, 1, 3]),
)


def check_answers(
    results_db: ResultsDB,
    stored: list[dict[str, Any]],
    asked: list[tuple[Any, Any, Any]],
    path: str,
    skip: int,
    limit: int | None,
) -> None:
    memory = MemoryResultsDB()
    for n, document in enumerate(stored):
        document["_id"] = f"{n}"
    for store in (memory, results_db):
        store.insert_many("c", stored)
    for query, wanted, sort in asked:
        given, expected = (
            {
                "find": answer(store.find, "c", query, wanted, sort, limit, skip),
                "count": answer(store.count, "c", query),
                "distinct": answer(store.distinct, "c", path, query),
            }
            for store in (results_db, memory)
        )
        assert given == expected
    results_db.delete("c", [document["_id"] for document in stored])


def answer(ask: Callable[..., Any], *arguments: Any) -> str:
    """An answer, with the types of its values, or the refusal."""
    try:
        given = ask(*arguments)
        return repr(list(given) if isinstance(given, Iterator) else given)
    except UnsupportedQueryError as error:
        return str(error)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@RANDOM
def test_answers_are_those_of_the_store_in_memory(
    results_db: ResultsDB, stored: Any, asked: Any, path: str, skip: int, limit: int | None
) -> None:
    check_answers(results_db, stored, asked, path, skip, limit)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@RANDOM
def test_many_answers_are_those_of_the_store_in_memory(
    results_db: ResultsDB, stored: Any, asked: Any, path: str, skip: int, limit: int | None
) -> None:
    check_answers(results_db, stored, asked, path, skip, limit)
