"""What every ``ResultsDB`` has to do, as tests that its author runs on it.

Subclass the suite in a test module and supply the store::

    class TestMyStore(ResultsDBConformance):
        @pytest.fixture
        def results_db(self, tmp_path):
            return MyStore(tmp_path)          # empty, and this test's own

A store whose data can be opened a second time subclasses ``SharedResultsDBConformance``, which
wants a fixture ``make_another`` as well. Needs pytest.
"""
# ruff: noqa: D102 (the name of a test says what it is about)

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from lume_services.errors import (
    BlobNotFoundError,
    DuplicateResultError,
    SerializationError,
    UnsupportedQueryError,
)
from lume_services.services.results import ResultsDB, ResultsDBService
from lume_services.testing.document_cases import (
    MOMENT,
    PROJECTIONS,
    REFUSED_ARGUMENTS,
    SORT_DOCUMENTS,
    VALUES,
    exactly,
    without_id,
)
from lume_services.testing.query_cases import QUERY_CASES, REFUSED_QUERIES

__all__ = ["ResultsDBConformance", "SharedResultsDBConformance"]


class ResultsDBConformance:
    """The promises of ``ResultsDB``; a subclass supplies the fixture ``results_db``, empty."""

    # --- Values -------------------------------------------------------------------------------

    def test_values_come_back_as_they_were(self, results_db: ResultsDB) -> None:
        documents = [{"x": value, "y": {"z": [value]}} for value in VALUES]
        results_db.insert_many("c", documents)
        for given, stored in zip(documents, results_db.scan("c"), strict=True):
            assert exactly(without_id(stored), given), f"{given} came back as {stored}"

    def test_document_of_many_values_comes_back(self, results_db: ResultsDB) -> None:
        document = {f"v{index}": value for index, value in enumerate(VALUES)}
        results_db.insert_one("c", document)
        assert exactly(without_id(next(results_db.scan("c"))), document)

    def test_what_is_no_value_is_refused(self, results_db: ResultsDB) -> None:
        with pytest.raises(SerializationError, match="object"):
            results_db.insert_many("c", [{"x": 1}, {"x": [object()]}])
        assert list(results_db.scan("c")) == []

    def test_nested_document_comes_back_or_is_refused(self, results_db: ResultsDB) -> None:
        """With a hundred levels, its own included, it is stored; with more, by no store."""
        service = ResultsDBService(results_db)
        for wrap in (lambda value: {"x": value}, lambda value: [value]):
            nested: Any = {}
            for _ in range(98):
                nested = wrap(nested)
            service.insert_one("c", {"_id": "i", "x": nested})
            assert list(results_db.scan("c")) == [{"_id": "i", "x": nested}]
            assert results_db.delete("c", ["i"]) == 1
            with pytest.raises(SerializationError, match="100 levels"):
                service.insert_one("c", {"x": wrap(nested)})
        assert results_db.count("c") == 0

    def test_document_given_out_is_the_callers(self, results_db: ResultsDB) -> None:
        given = {"x": [1, {"y": 2}]}
        results_db.insert_one("c", given)
        assert given == {"x": [1, {"y": 2}]}, "inserting changed the document"
        given["x"].append(3)
        for read in (results_db.scan, results_db.find):
            document = next(read("c"))
            assert document["x"] == [1, {"y": 2}]
            document["x"][1]["y"] = 5
        assert next(results_db.scan("c"))["x"] == [1, {"y": 2}]

    # --- Inserting ----------------------------------------------------------------------------

    def test_ids_are_text_in_the_order_of_the_documents(self, results_db: ResultsDB) -> None:
        ids = results_db.insert_many("c", ({"n": n} for n in range(5)))
        assert len(set(ids)) == 5
        assert all(isinstance(name, str) and name for name in ids)
        assert [(doc["_id"], doc["n"]) for doc in results_db.scan("c")] == list(
            zip(ids, range(5), strict=True)
        )

    def test_nothing_to_insert(self, results_db: ResultsDB) -> None:
        assert results_db.insert_many("c", []) == []
        assert results_db.collections() == []

    def test_own_id_is_kept(self, results_db: ResultsDB) -> None:
        assert results_db.insert_one("c", {"x": 1, "_id": "mine"}) == "mine"
        assert next(results_db.scan("c")) == {"_id": "mine", "x": 1}
        assert results_db.insert_one("c", {"_id": None}) not in (None, "", "mine", "None")

    def test_same_result_is_stored_once(self, results_db: ResultsDB) -> None:
        first = results_db.insert_one("c", {"unique_hash": "h", "host": "first"})
        assert results_db.insert_one("c", {"unique_hash": "h", "host": "second"}) == first
        ids = results_db.insert_many(
            "c",
            [
                {"unique_hash": "new", "n": 1},
                {"unique_hash": "h", "n": 2},
                {"unique_hash": "new", "n": 3},
            ],
        )
        assert ids[1] == first
        assert ids[0] == ids[2] != first
        stored = [(doc["_id"], doc.get("host"), doc.get("n")) for doc in results_db.scan("c")]
        assert stored == [(first, "first", None), (ids[0], None, 1)]

    def test_same_result_under_another_id_is_the_one_there(self, results_db: ResultsDB) -> None:
        results_db.insert_one("c", {"_id": "one", "unique_hash": "h"})
        assert results_db.insert_one("c", {"_id": "two", "unique_hash": "h"}) == "one"
        assert results_db.insert_one("c", {"_id": "one", "unique_hash": "h"}) == "one"
        assert results_db.count("c") == 1

    def test_without_unique_hash_nothing_is_the_same(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"x": 1}, {"x": 1}, {"x": 1, "unique_hash": None}])
        results_db.insert_one("c", {"x": 1, "unique_hash": None})
        assert results_db.count("c") == 4

    def test_taken_id_is_refused(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"_id": "a", "unique_hash": "h"}, {"_id": "b"}])
        for document in ({"_id": "a"}, {"_id": "a", "unique_hash": "i"}, {"_id": "b"}):
            with pytest.raises(DuplicateResultError, match=r"'[ab]'"):
                results_db.insert_one("c", document)
        with pytest.raises(DuplicateResultError, match="'d'"):
            results_db.insert_many("e", [{"_id": "d"}, {"_id": "d"}])
        assert results_db.count("c") == 2

    def test_collections_are_apart(self, results_db: ResultsDB) -> None:
        for name in ("b", "a"):
            results_db.insert_one(name, {"_id": "i", "unique_hash": "h", "project_name": name})
        assert [doc["project_name"] for doc in results_db.scan("a")] == ["a"]
        assert sorted(doc["project_name"] for doc in results_db.scan(None)) == ["a", "b"]
        assert results_db.collections() == ["a", "b"]
        assert results_db.delete("a", ["i"]) == 1
        assert results_db.count("b") == 1

    def test_collection_that_is_not_there_is_empty(self, results_db: ResultsDB) -> None:
        assert list(results_db.scan("c")) == []
        assert list(results_db.scan(None)) == []
        assert list(results_db.find("c", {"x": 1}, sort=[("x", 1)])) == []
        assert results_db.count("c") == 0
        assert results_db.distinct("c", "x") == []
        assert results_db.delete("c", ["i"]) == 0
        assert results_db.collections() == []

    def test_scan_is_in_insertion_order(self, results_db: ResultsDB) -> None:
        names = ["z", "a", "m", "0", "Z"]
        for name in names:
            results_db.insert_one("c", {"_id": name, "date_modified": MOMENT, "flow_id": name})
            results_db.insert_one("other", {"_id": name})
        assert [doc["_id"] for doc in results_db.scan("c")] == names
        assert [doc["_id"] for doc in results_db.find("c", {"flow_id": {"$in": names}})] == names

    def test_delete(self, results_db: ResultsDB) -> None:
        ids = results_db.insert_many("c", [{"n": n, "unique_hash": f"h{n}"} for n in range(4)])
        assert results_db.delete("c", [ids[1], "unknown", ids[3]]) == 2
        assert results_db.delete("c", [ids[1]]) == 0
        assert results_db.delete("c", []) == 0
        assert [doc["n"] for doc in results_db.scan("c")] == [0, 2]
        again = results_db.insert_one("c", {"n": 9, "unique_hash": "h1"})
        assert [doc["_id"] for doc in results_db.scan("c")] == [ids[0], ids[2], again]

    def test_writing_while_reading(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"_id": f"{n}"} for n in range(20)])
        seen = []
        for document in results_db.scan("c"):
            seen.append(document["_id"])
            if len(seen) == 3:
                results_db.insert_one("c", {"_id": "new"})
                results_db.delete("c", ["19"])
        assert seen[:19] == [f"{n}" for n in range(19)]

    def test_several_threads(self, results_db: ResultsDB) -> None:
        def work(n: int) -> str:
            results_db.insert_one("c", {"_id": f"own-{n}", "n": n})
            results_db.count("c", {"n": {"$lt": 5}})
            return results_db.insert_one("c", {"unique_hash": f"shared-{n % 4}"})

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(work, range(40)))
        assert len(set(ids)) == 4
        assert results_db.count("c") == 44

    # --- Finding ------------------------------------------------------------------------------

    def test_queries(self, results_db: ResultsDB) -> None:
        """Every case of the table, each over the documents of all of them."""
        results_db.insert_many(
            "c", [{"_id": f"{n}", **case.document} for n, case in enumerate(QUERY_CASES)]
        )
        wrong = []
        for n, case in enumerate(QUERY_CASES):
            found = {doc["_id"] for doc in results_db.find("c", case.query, fields=[])}
            if (f"{n}" in found) != case.matches:
                wrong.append(case)
        assert not wrong, "\n".join(map(str, wrong))

    def test_what_no_document_holds_is_found_nowhere(self, results_db: ResultsDB) -> None:
        """Half of a surrogate pair is no text, and year 1 began elsewhere before it did in UTC."""
        names = ["_id", "unique_hash", "flow_id", "x"]
        results_db.insert_many(
            "c", [{"_id": name, name: "a", "date_modified": MOMENT} for name in names]
        )
        half, early = "\ud800", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
        for name in names:
            for condition in (half, {"$in": [half, "b"]}, {"$gt": f"x{half}"}):
                assert results_db.count("c", {name: condition}) == 0
            assert results_db.count("c", {name: {"$in": [half, "a"]}}) == 1
        moments: list[tuple[Any, int]] = [(early, 0), ({"$in": [early, MOMENT]}, 4)]
        for condition, count in [*moments, ({"$gt": early}, 4)]:
            assert results_db.count("c", {"date_modified": condition}) == count
        assert results_db.delete("c", [half]) == 0
        assert not results_db.has_blob(half)
        with pytest.raises(BlobNotFoundError):
            results_db.get_blob(half)

    def test_numpy_scalars_in_queries_are_numbers(self, results_db: ResultsDB) -> None:
        results_db.insert_many(
            "c", [{"_id": f"{n}", "n": n, "on": n == 2, "t": [n] * n} for n in range(4)]
        )
        for query, ids in (
            ({"n": np.int64(3)}, ["3"]),
            ({"n": {"$gt": np.int32(1)}}, ["2", "3"]),
            ({"n": {"$lt": np.float32(1.5)}}, ["0", "1"]),
            ({"n": {"$in": [np.uint8(0), np.float64(2.0)]}}, ["0", "2"]),
            ({"on": np.bool_(True)}, ["2"]),
            ({"$or": [{"n": np.int16(0)}, {"t": {"$size": np.int64(3)}}]}, ["0", "3"]),
            ({"on": {"$exists": np.bool_(False)}}, []),
            ({"_id": np.str_("1")}, ["1"]),
        ):
            assert [document["_id"] for document in results_db.find("c", query)] == ids, query
        with pytest.raises(UnsupportedQueryError, match="ndarray"):
            results_db.find("c", {"n": {"$in": [np.arange(2)]}})
        with pytest.raises(UnsupportedQueryError, match="datetime64"):
            results_db.find("c", {"n": np.datetime64("2026-01-01")})

    def test_what_is_not_understood_is_refused(self, results_db: ResultsDB) -> None:
        """When it is asked, not when the answer is read, and also where nothing is stored."""
        for query, message in REFUSED_QUERIES:
            for ask in (results_db.find, results_db.count):
                with pytest.raises(UnsupportedQueryError, match=message):
                    ask("empty", query)
            with pytest.raises(UnsupportedQueryError, match=message):
                results_db.distinct("empty", "x", query)
        for arguments in REFUSED_ARGUMENTS:
            with pytest.raises(UnsupportedQueryError):
                results_db.find("empty", **arguments)

    @pytest.mark.parametrize("way", [1, -1])
    def test_sort_is_by_type_then_value(self, results_db: ResultsDB, way: int) -> None:
        results_db.insert_many("c", SORT_DOCUMENTS)
        expected = [document["_id"] for document in SORT_DOCUMENTS]
        if way == -1:
            # Null and missing are equal, and equal documents keep their order.
            expected.reverse()
            expected[-3:-1] = ["missing", "null"]
        assert [doc["_id"] for doc in results_db.find("c", sort=[("x", way)])] == expected

    def test_sort_by_the_least_or_greatest_element(self, results_db: ResultsDB) -> None:
        results_db.insert_many(
            "c",
            [
                {"_id": "a", "x": [3, 9]},
                {"_id": "b", "x": 5},
                {"_id": "c", "x": [1, "z"]},
                {"_id": "d", "x": [{"y": 1}]},
            ],
        )
        assert [doc["_id"] for doc in results_db.find("c", sort=[("x", 1)])] == list("cabd")
        assert [doc["_id"] for doc in results_db.find("c", sort=[("x", -1)])] == list("dcab")

    def test_sort_by_paths(self, results_db: ResultsDB) -> None:
        results_db.insert_many(
            "c",
            [
                {"_id": "a", "x": {"y": 2}},
                {"_id": "b", "x": [{"y": 3}, {"y": 1}]},
                {"_id": "c", "x": 7},
                {"_id": "d", "x": [5, 4]},
                {"_id": "e", "x": []},
            ],
        )
        assert [doc["_id"] for doc in results_db.find("c", sort=[("x.y", 1)])] == list("cdeba")
        assert [doc["_id"] for doc in results_db.find("c", sort=[("x.y", -1)])] == list("bacde")
        assert [doc["_id"] for doc in results_db.find("c", sort=[("x.0", -1)])] == list("bdace")

    def test_sort_by_several_keys_keeps_equal_ones_in_order(self, results_db: ResultsDB) -> None:
        rows = [("a", 1, 2), ("b", 1, 1), ("c", 0, 1), ("d", 1, 2), ("e", 0, 2)]
        results_db.insert_many("c", [{"_id": n, "x": x, "y": y} for n, x, y in rows])

        def order(*sort: tuple[str, int]) -> str:
            return "".join(doc["_id"] for doc in results_db.find("c", sort=list(sort)))

        assert order(("x", 1), ("y", 1)) == "cebad"
        assert order(("x", 1), ("y", -1)) == "ecadb"
        assert order(("x", -1), ("y", 1)) == "badce"
        assert order(("y", 1)) == "bcade"
        assert order(("y", -1)) == "adebc"

    def test_sort_by_what_stores_index(self, results_db: ResultsDB) -> None:
        moments = [MOMENT, None, MOMENT - timedelta(days=1), MOMENT]
        results_db.insert_many(
            "c",
            [
                {"_id": name, "date_modified": moment, "flow_id": "f" if n else None}
                for n, (name, moment) in enumerate(zip("abcd", moments, strict=True))
            ],
        )

        def order(sort: list[tuple[str, int]], **arguments: Any) -> str:
            return "".join(doc["_id"] for doc in results_db.find("c", sort=sort, **arguments))

        assert order([("date_modified", 1)]) == "bcad"
        assert order([("date_modified", -1)]) == "adcb"
        assert order([("date_modified", -1)], limit=2, skip=1) == "dc"
        assert order([("date_modified", -1)], query={"flow_id": "f"}, limit=1) == "d"
        assert order([("flow_id", -1), ("date_modified", 1)]) == "bcda"
        assert order([("_id", -1)]) == "dcba"

    def test_sort_by_two_arrays_is_refused(self, results_db: ResultsDB) -> None:
        results_db.insert_one("c", {"x": [1, 2], "y": [1, 2]})
        with pytest.raises(UnsupportedQueryError, match="arrays"):
            list(results_db.find("c", sort=[("x", 1), ("y", 1)]))

    def test_skip_and_limit(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"n": n} for n in range(10)])

        def numbers(**arguments: Any) -> list[int]:
            return [doc["n"] for doc in results_db.find("c", **arguments)]

        assert numbers(limit=3) == [0, 1, 2]
        assert numbers(skip=8) == [8, 9]
        assert numbers(skip=2, limit=2) == [2, 3]
        assert numbers(skip=20, limit=2) == []
        assert numbers(limit=50) == numbers(limit=2**62 - 1) == list(range(10))
        assert numbers(skip=2**62 - 1, limit=2**62 - 1, sort=[("n", 1)]) == []
        assert numbers(sort=[("n", -1)], limit=3) == [9, 8, 7]
        assert numbers(sort=[("n", -1)], skip=3, limit=2) == [6, 5]
        assert numbers(query={"n": {"$gte": 4}}, skip=1, limit=2) == [5, 6]

    def test_projections(self, results_db: ResultsDB) -> None:
        for n, (fields, document, expected) in enumerate(PROJECTIONS):
            results_db.insert_one(f"c{n}", {"_id": "i", **document})
            assert list(results_db.find(f"c{n}", {}, fields)) == [expected], (fields, document)

    def test_what_is_not_asked_for_still_counts(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"_id": f"{n}", "x": n, "y": 1} for n in range(3)])
        found = results_db.find("c", {"x": {"$gt": 0}}, ["y"], sort=[("x", -1)])
        assert list(found) == [{"_id": "2", "y": 1}, {"_id": "1", "y": 1}]

    def test_count(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"x": n % 3} for n in range(10)])
        assert results_db.count("c") == results_db.count("c", {}) == 10
        assert results_db.count("c", {"x": 1}) == 3

    def test_distinct(self, results_db: ResultsDB) -> None:
        values = [3, "a", [1, 2, 3], 3.0, None, [], True, {"y": 1}, [[1, 2]], b"b"]
        results_db.insert_many("c", [{"x": value} for value in values] + [{}])
        expected = [None, 1, 2, 3, "a", {"y": 1}, [1, 2], b"b", True]
        assert exactly(results_db.distinct("c", "x"), expected)
        assert results_db.distinct("c", "x.y") == [1]
        assert results_db.distinct("c", "x.1") == [2]
        assert results_db.distinct("c", "x", {"x": {"$type": "string"}}) == ["a"]
        assert results_db.distinct("c", "unknown") == []
        with pytest.raises(UnsupportedQueryError):
            results_db.distinct("c", "")

    def test_index_changes_no_answer(self, results_db: ResultsDB) -> None:
        results_db.insert_many("c", [{"x": n} for n in (2, 1)])
        results_db.create_index("c", ["x", "y.z"])
        results_db.create_index("c", ["x", "y.z"])
        assert results_db.count("c", {"x": {"$gt": 1}}) == 1

    # --- Blobs --------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (3 << 20) + 7])
    def test_blob_comes_back(self, results_db: ResultsDB, size: int) -> None:
        data = np.random.default_rng(size).bytes(size)
        digest = results_db.put_blob(data)
        assert digest == sha256(data).hexdigest()
        assert results_db.has_blob(digest)
        assert bytes(results_db.get_blob(digest)) == data
        assert results_db.put_blob(bytearray(data)) == digest

    def test_blob_of_any_buffer(self, results_db: ResultsDB) -> None:
        array = np.arange(600_000, dtype="<f8").reshape(2, 3, -1)
        buffers: list[Any] = [array, array.data, array.data.cast("B"), np.empty((0, 3))]
        for data in buffers:
            raw = bytes(memoryview(data))
            digest = results_db.put_blob(data)
            assert digest == sha256(raw).hexdigest()
            assert bytes(results_db.get_blob(digest)) == raw

    def test_blob_given_out_is_the_callers(self, results_db: ResultsDB) -> None:
        data = bytearray(b"x" * 1000)
        digest = results_db.put_blob(data)
        data[0] = 0
        first = memoryview(results_db.get_blob(digest))
        if not first.readonly:
            first[0] = 0
        assert bytes(results_db.get_blob(digest)) == b"x" * 1000

    def test_blob_that_is_not_there(self, results_db: ResultsDB) -> None:
        for digest in ("0" * 64, "", "abc", "../" * 21 + "x", sha256(b"x").hexdigest().upper()):
            with pytest.raises(BlobNotFoundError):
                results_db.get_blob(digest)
            assert not results_db.has_blob(digest)

    def test_blobs_by_several_threads(self, results_db: ResultsDB) -> None:
        blobs = [np.random.default_rng(n % 3).bytes(1 << 21) for n in range(6)]
        with ThreadPoolExecutor(6) as pool:
            digests = list(pool.map(results_db.put_blob, blobs))
        assert [bytes(results_db.get_blob(digest)) for digest in digests] == blobs

    def test_close_can_be_called_twice(self, results_db: ResultsDB) -> None:
        results_db.insert_one("c", {"x": 1})
        results_db.close()
        results_db.close()


class SharedResultsDBConformance(ResultsDBConformance):
    """Beside these, the promises of a store that keeps its data when it is closed.

    A subclass supplies ``make_another`` too: a fixture that is a function, without arguments,
    which opens the data of ``results_db`` once more.
    """

    def test_another_sees_what_is_stored(
        self, results_db: ResultsDB, make_another: Callable[[], ResultsDB]
    ) -> None:
        another = make_another()
        document = {f"v{index}": value for index, value in enumerate(VALUES)}
        name = results_db.insert_one("c", document)
        assert exactly(next(another.scan("c")), {"_id": name, **document})
        assert another.delete("c", [name]) == 1
        assert results_db.count("c") == 0
        another.close()

    def test_another_stores_the_same_result_once(
        self, results_db: ResultsDB, make_another: Callable[[], ResultsDB]
    ) -> None:
        another = make_another()
        first = results_db.insert_one("c", {"_id": "i", "unique_hash": "h"})
        assert another.insert_one("c", {"unique_hash": "h"}) == first
        with pytest.raises(DuplicateResultError):
            another.insert_one("c", {"_id": "i"})
        another.insert_one("c", {"unique_hash": "i"})
        assert results_db.count("c") == 2
        another.close()

    def test_insertion_order_is_that_of_all(
        self, results_db: ResultsDB, make_another: Callable[[], ResultsDB]
    ) -> None:
        stores = [results_db, make_another()]
        for n in range(6):
            stores[n % 2].insert_one("c", {"n": n})
        assert [doc["n"] for doc in results_db.scan("c")] == list(range(6))
        stores[1].close()

    def test_blob_is_there_for_another(
        self, results_db: ResultsDB, make_another: Callable[[], ResultsDB]
    ) -> None:
        another = make_another()
        digests = [results_db.put_blob(b"y" * size) for size in (10, 2 << 20)]
        assert [len(memoryview(another.get_blob(digest))) for digest in digests] == [10, 2 << 20]
        assert another.put_blob(b"y" * 10) == digests[0]
        another.close()

    def test_data_outlives_the_store(
        self, results_db: ResultsDB, make_another: Callable[[], ResultsDB]
    ) -> None:
        name = results_db.insert_one("c", {"x": 1})
        digest = results_db.put_blob(b"z" * 100)
        results_db.close()
        another = make_another()
        assert list(another.scan("c")) == [{"_id": name, "x": 1}]
        assert bytes(another.get_blob(digest)) == b"z" * 100
        another.close()
