"""Copies: everything, in order, verified; again without harm; nothing that is wrong."""

from __future__ import annotations

import itertools
import math
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.away_store import AwayDB

from lume_services.errors import ResultsDBUnavailableError
from lume_services.results import Result
from lume_services.results._verify import hash_problem
from lume_services.services.results import ResultsDB, ResultsDBService, copying
from lume_services.services.results.copying import Copied, copy_results
from lume_services.services.results.memory import MemoryResultsDB
from lume_services.services.results.settings import ResultsDBConfig
from lume_services.services.results.sqlite import SQLiteResultsDB


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SQLiteResultsDB]:
    store = SQLiteResultsDB(tmp_path / "source.db")
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SQLiteResultsDB]:
    store = SQLiteResultsDB(tmp_path / "target.db")
    yield store
    store.close()


class Camera(Result):
    """A result of a class of its own."""

    unique_on = ("flow_id", "inputs", "camera")
    camera: str


def filled(store: ResultsDB) -> list[str]:
    """Results of many kinds; their ids, in order."""
    service = ResultsDBService(store)
    rng = np.random.default_rng(1)
    results = [
        Result(flow_id="f", inputs={"x": float(n)}, outputs={"y": n, "nan": math.nan})
        for n in range(30)
    ]
    results += [
        Result(flow_id="f", inputs={"XCOR.VAL": n}, outputs={"image": rng.random((400, 400))})
        for n in range(3)
    ]
    results += [
        Result(flow_id="f", inputs={"list": [*range(300_000)]}, outputs={"text": "ä" * 2_000_000}),
        Result(flow_id="f", inputs={}, outputs={"twiss": pd.DataFrame({"beta": [1.5, 2.5]})}),
        Result(
            flow_id="f", inputs={"x": 1}, outputs={}, status="failed", flow_run_id="r",
            error={"type": "ValueError", "message": "", "traceback": ""},
        ),
        Camera(flow_id="f", inputs={"x": 1}, outputs={"y": 1}, camera="OTR2"),
    ]  # fmt: skip
    ids = [result.insert(service) for result in results]
    others = [{"no": "hash", "when": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"\0"}, {"x": -0.0}]
    return ids + service.insert_many("local", others)


def whole(store: ResultsDB) -> str:
    """Everything in a store, types and order included."""
    documents = [(name, list(store.scan(name))) for name in store.collections()]
    digests = sorted(copying.blob_digests([stored for _, stored in documents]))
    return repr(documents) + repr([sha256(store.get_blob(one)).hexdigest() for one in digests])


def verified(source: ResultsDB, target: ResultsDB, **options: Any) -> Copied:
    return copy_results(
        source,
        target,
        check=lambda document: hash_problem(document, source.get_blob),
        **options,
    )


def test_everything_is_copied_in_order_and_once(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    ids = filled(source)
    source.insert_one("other project", {"x": 1})
    advanced: list[int] = []
    copied = verified(source, target, advance=advanced.append)
    assert (copied.copied, copied.already_there, copied.refused) == (len(ids) + 1, 0, [])
    assert copied.blobs == len(list(source.blobs))
    assert copied.blob_bytes == sum(blob.size for blob in source.blobs)
    assert sum(advanced) == len(ids) + 1
    assert [document["_id"] for document in target.scan("local")] == ids
    assert whole(target) == whole(source)
    assert verified(source, target) == Copied(already_there=len(ids) + 1)
    assert target.count("local") == len(ids)


def test_one_project_alone(source: SQLiteResultsDB, target: SQLiteResultsDB) -> None:
    for project in ("a", "b"):
        source.insert_one(project, {"x": 1})
    assert copy_results(source, target, ["b", "none"]).copied == 1
    assert target.collections() == ["b"]


def test_there_and_back_over_a_server(source: SQLiteResultsDB, mongodb_url: str) -> None:
    from lume_services.services.results.mongodb import MongodbResultsDB

    server = MongodbResultsDB(ResultsDBConfig(url=mongodb_url))
    filled(source)
    assert verified(source, server).refused == []
    back = MemoryResultsDB()
    assert verified(server, back).refused == []
    assert {doc["_id"]: repr(doc) for doc in back.scan("local")} == {
        doc["_id"]: repr(doc) for doc in source.scan("local")
    }
    copy = SQLiteResultsDB(source.path.with_name("back.db"))
    assert verified(server, copy).refused == []
    assert whole(copy) == whole(source)
    copy.close()
    server.close()


def test_a_copy_goes_on_where_it_was_interrupted(
    source: SQLiteResultsDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_BATCH", 5)
    ids = filled(source)
    target = AwayDB(tmp_path)
    advanced: list[int] = []

    def advance(results: int) -> None:
        advanced.append(results)
        if len(advanced) == 3:
            target.leave()

    with pytest.raises(ResultsDBUnavailableError):
        verified(source, target, advance=advance)
    target.come_back()
    copied = verified(source, target)
    assert (copied.already_there, copied.copied) == (15, len(ids) - 15)
    assert whole(target) == whole(source)
    target.close()


def test_the_same_result_under_another_id_stays(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    source.insert_one("c", {"_id": "a", "unique_hash": "h"})
    target.insert_one("c", {"_id": "b", "unique_hash": "h"})
    assert copy_results(source, target) == Copied(already_there=1)
    assert [document["_id"] for document in target.scan("c")] == ["b"]


def test_an_id_of_another_document_is_told_and_the_others_are_copied(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    target.insert_many("c", [{"_id": "a", "x": 1}, {"_id": "b", "x": 1, "unique_hash": "h"}])
    source.insert_many("c", [{"_id": name, "x": 2} for name in "abc"])
    copied = copy_results(source, target)
    assert [entry.id for entry in copied.refused] == ["a", "b"]
    assert "taken by another document" in copied.refused[0].reason
    assert [document["x"] for document in target.scan("c")] == [1, 1, 2]


def test_results_that_are_not_what_their_hashes_say_are_not_copied(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    good, inputs, outputs, run = (
        Result(flow_id=name, inputs={"x": 1}, outputs={"y": 2}).get_db_dict() for name in "abcd"
    )
    inputs["inputs"]["x"] = 3
    outputs["outputs"]["y"] = 3
    run |= {"status": "failed", "error": None, "flow_run_id": None}
    for name, document in zip("abcd", (good, inputs, outputs, run), strict=True):
        source.insert_one("c", {"_id": name, **document})
    copied = verified(source, target)
    assert [entry.id for entry in copied.refused] == ["b", "c", "d"]
    assert "inputs_hash" in copied.refused[0].reason
    assert "unique_hash" in copied.refused[1].reason
    assert [document["_id"] for document in target.scan("c")] == ["a"]


def test_of_a_class_that_is_not_known_the_inputs_are_checked(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    unknown = Result(inputs={"x": 1}, outputs={}).get_db_dict()
    unknown["result_type_string"] = "nobody:Knows"
    wrong = {**unknown, "inputs": {"x": 2}, "unique_hash": "other"}
    source.insert_many("c", [{"_id": "a", **unknown}, {"_id": "b", **wrong}])
    assert [entry.id for entry in verified(source, target).refused] == ["b"]


def test_what_refers_to_a_missing_or_damaged_blob_is_told_and_not_copied(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    service = ResultsDBService(source)
    for n in range(4):
        Result(flow_id="f", inputs={"x": n}, outputs={"a": np.full(200_000, n)}).insert(service)
    files = [
        source.blobs.path / digest[:2] / digest[2:]
        for n in (1, 2)
        for digest in [sha256(np.full(200_000, n)).hexdigest()]
    ]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])  # truncated
    copied = verified(source, target)
    assert copied.copied == 2
    assert [document["inputs"]["x"] for document in target.scan("local")] == [0, 3]
    missing, damaged = (entry.reason for entry in copied.refused)
    assert "There is no blob" in missing
    assert str(files[1]) in damaged
    assert len(list(target.blobs)) == 2


def test_results_of_the_original_are_told_what_they_need(
    source: SQLiteResultsDB, target: SQLiteResultsDB
) -> None:
    original = {
        "_id": "old",
        "flow_id": "f",
        "inputs": {"x": 1.0},
        "outputs": {"y": b"\x80\x02."},
        "result_type_string": "lume_services.results.generic:Result",
        "unique_hash": "0" * 32,
    }
    source.insert_many("local", [original, {"_id": "new"}])
    copied = copy_results(
        source, target, check=lambda document: hash_problem(document, source.get_blob)
    )
    assert copied.copied == 1
    (refused,) = copied.refused
    assert refused.id == "old"
    assert "results migrate" in refused.reason


def test_what_comes_back_different_is_told(
    source: SQLiteResultsDB, target: SQLiteResultsDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.insert_many("c", [{"_id": "a", "x": 1}, {"_id": "b", "x": 2}])
    insert = SQLiteResultsDB.insert_many

    def forgets(self: SQLiteResultsDB, collection: str, documents: Any) -> list[str]:
        return insert(self, collection, [{**one, "x": 1.0} for one in documents])

    monkeypatch.setattr(SQLiteResultsDB, "insert_many", forgets)
    copied = copy_results(source, target)
    assert copied.copied == 0
    assert {entry.reason for entry in copied.refused} == {"it does not come back as it was stored"}


def test_little_is_held_at_a_time(
    source: SQLiteResultsDB, target: SQLiteResultsDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.insert_many("c", ({"n": n, "raw": b"x" * 3_000_000} for n in range(12)))
    source.insert_many("c", ({"n": n} for n in range(500)))
    batches: list[int] = []
    copied = copy_results(source, target, advance=batches.append)
    assert copied.copied == 512
    assert batches[0] <= 5, "16 MB at most"
    assert max(batches) <= 200


# --- Backup --------------------------------------------------------------------------------------


@pytest.fixture
def writer(source: SQLiteResultsDB) -> Iterator[None]:
    """Somebody who stores results all the time."""
    ended = Event()

    def write() -> None:
        service, draw = ResultsDBService(source), np.random.default_rng(1)
        for number in itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
            image = draw.random(140_000)
            Result(flow_id="f", inputs={"x": number}, outputs={"image": image}).insert(service)

    thread = Thread(target=write)
    thread.start()
    while source.count("local") < 5:
        assert thread.is_alive()
    yield
    ended.set()
    thread.join()


def backup_by_copy(source: SQLiteResultsDB, folder: Path) -> SQLiteResultsDB:
    backup = SQLiteResultsDB(folder / "results.db")
    assert verified(source, backup).refused == []
    return backup


def backup_of_files(source: SQLiteResultsDB, folder: Path) -> SQLiteResultsDB:
    """First the database, as ``.backup`` of the sqlite3 shell copies it, then the blobs."""
    folder.mkdir()
    database, copy = sqlite3.connect(source.path), sqlite3.connect(folder / "results.db")
    database.backup(copy)
    database.close()
    copy.close()
    unfinished = shutil.ignore_patterns("incoming-*")
    shutil.copytree(source.blobs.path, folder / "results-blobs", ignore=unfinished)
    return SQLiteResultsDB(folder / "results.db")


@pytest.mark.parametrize("make", [backup_by_copy, backup_of_files])
def test_a_backup_is_whole_while_others_write(
    source: SQLiteResultsDB, writer: None, tmp_path: Path, make: Any
) -> None:
    at_least = source.count("local")
    backup = make(source, tmp_path / "backup")
    documents = list(backup.scan("local"))
    assert len(documents) >= at_least
    assert [document["inputs"]["x"] for document in documents] == [*range(len(documents))]
    for document in documents:
        assert hash_problem(document, backup.get_blob) is None
        for digest in copying.blob_digests(document):
            assert sha256(backup.get_blob(digest)).hexdigest() == digest
    restored = SQLiteResultsDB(tmp_path / "restored.db")
    assert verified(backup, restored).copied == len(documents)
    restored.close()
    backup.close()
