"""The service is what users see of a results database."""

from __future__ import annotations

import pytest

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results import ResultsDB, ResultsDBService
from lume_services.testing import MemoryResultsDB


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
