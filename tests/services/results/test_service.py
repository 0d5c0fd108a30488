"""The service is what users see of a results database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lume_services.errors import ResultsDBError, SerializationError, UnsupportedQueryError
from lume_services.services.results import ResultsDB, ResultsDBService
from lume_services.testing import MemoryResultsDB

EAST = timezone(timedelta(hours=5))


@pytest.fixture
def service() -> ResultsDBService:
    return ResultsDBService(MemoryResultsDB())


def test_stores_finds_and_deletes(service: ResultsDBService) -> None:
    first = service.insert_one(collection="c", document={"x": 1, "project_name": "c"})
    second, third = service.insert_many("c", [{"x": 2}, {"x": 3}])
    assert service.find(collection="c", query={"x": {"$gt": 1}}, fields=["x"]) == [
        {"_id": second, "x": 2},
        {"_id": third, "x": 3},
    ]
    found = service.find("c", sort=[("x", -1)], limit=1, skip=1)
    assert [document["_id"] for document in found] == [second]
    assert [document["_id"] for document in service.find_all("c")] == [first, second, third]
    assert service.count("c") == 3
    assert service.distinct("c", "x", {"x": {"$lt": 3}}) == [1, 2]
    assert service.collections() == ["c"]
    assert service.delete("c", [first]) == 1
    assert service.count("c") == 2


def test_find_one_is_the_first_or_none(service: ResultsDBService) -> None:
    service.insert_many("c", [{"_id": "a", "x": 1}, {"_id": "b", "x": 2}])
    assert service.find_one("c", {"x": {"$gte": 1}}, sort=[("x", -1)]) == {"_id": "b", "x": 2}
    assert service.find_one("c", {"x": 9}) is None
    with pytest.raises(UnsupportedQueryError):
        service.find_one("c", {"$where": "1"})


@pytest.mark.parametrize(
    ("document", "where", "problem"),
    [
        ({"": 1}, "", "empty"),
        ({"inputs": {"": 1}}, "inputs.", "empty"),
        ({"inputs": {"XCOR.VAL": 1}}, "inputs.XCOR.VAL", "dot"),
        ({"a\0": 1}, "a", "NUL"),
        ({"inputs": [{"x": 1.0}, {"$gt": 1}]}, "inputs.1.$gt", r"starts with '\$'"),
        ({"inputs": {3: 1}}, "inputs.3", "of type int, not text"),
        ({"inputs": {None: 1}}, "inputs.None", "of type NoneType"),
        ({"inputs": {"\ud800": 1}}, "inputs", "surrogate"),
        ({"inputs": {"x": "a\ud800"}}, "inputs.x", "surrogate"),
        ({"inputs": {"x": [1.0, 2**63]}}, "inputs.x.1", "64 bits"),
        ({"n": -(2**63) - 1}, "n", "64 bits"),
        ({"x": (1, 2)}, "x", "tuple"),
        ({"x": [[{1.5}]]}, "x.0.0", "set"),
        ({"x": np.int64(1)}, "x", "int64"),
        ({"x": np.zeros(2)}, "x", "ndarray"),
        ({"x": 1j}, "x", "complex"),
        ({"x": [datetime(1, 1, 1, tzinfo=EAST)]}, "x.0", "not a time in UTC"),
        ({"x": pd.NaT}, "x", "NaT is not a time in UTC"),
    ],
)  # fmt: skip
def test_what_no_document_holds_is_refused_by_its_path(
    service: ResultsDBService, document: dict[Any, Any], where: str, problem: str
) -> None:
    for insert in (
        lambda: service.insert_one("c", document),
        lambda: service.insert_many("c", [{"x": 1}, document]),
    ):
        with pytest.raises(SerializationError, match=problem) as raised:
            insert()
        assert repr(where)[:-1] in str(raised.value)
    assert service.find_all("c") == []


def test_what_contains_itself_is_refused(service: ResultsDBService) -> None:
    document: dict[str, Any] = {"x": []}
    document["x"].append(document)
    with pytest.raises(SerializationError, match="contains itself"):
        service.insert_one("c", document)
    with pytest.raises(SerializationError, match="a dict, not a list"):
        service.insert_one("c", [])  # the point of it


def test_a_document_that_a_server_would_refuse_is_refused_everywhere(
    service: ResultsDBService,
) -> None:
    service.insert_one("c", {"x": [b"x" * 1_000_000] * 7})
    with pytest.raises(SerializationError, match=r"9\.0 MB.*8 MB.*Result"):
        service.insert_many("c", [{"x": 1}, {"x": [b"x" * 1_000_000] * 9}])
    assert service.count("c") == 1


def test_what_documents_hold_is_taken(service: ResultsDBService) -> None:
    document = {
        "_id": "a", "%kind": "x", "n": [2**63 - 1, -(2**63), True, None, -0.0], "ä$": "€ 😀",
        "when": datetime(2026, 1, 1, tzinfo=UTC), "data": b"\0",
    }  # fmt: skip
    service.insert_one("c", document)
    assert service.find_all("c") == [document]


@pytest.mark.parametrize("collection", ["", None, 3, "a\0b", "\ud800"], ids=ascii)
def test_a_collection_has_a_name(service: ResultsDBService, collection: Any) -> None:
    for insert in (
        lambda: service.insert_one(collection, {"x": 1}),
        lambda: service.insert_many(collection, []),
    ):
        with pytest.raises(ResultsDBError, match="collection"):
            insert()


def test_keeps_blobs(service: ResultsDBService) -> None:
    digest = service.put_blob(b"bytes")
    assert service.get_blob(digest) == b"bytes"


def test_base_class_asks_for_five_methods() -> None:
    assert ResultsDB.__abstractmethods__ == {
        "insert_many",
        "scan",
        "delete",
        "put_blob",
        "get_blob",
    }


@pytest.mark.parametrize(
    "moment",
    [
        pd.NaT,
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_a_moment_that_no_store_can_hold_is_refused(
    service: ResultsDBService, moment: datetime
) -> None:
    with pytest.raises(SerializationError, match=r"'when\.0'.*is not a time in UTC"):
        service.insert_one("c", {"when": [moment]})
