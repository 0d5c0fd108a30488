"""What is MongoDB's own: its settings, its server, names, blobs in GridFS, forks."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, ObjectId
from tests.commands import Run
from tests.servers import MongoDB
from tests.services.results.forks import insert_in_child, insert_in_parent_and_children

from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.errors import (
    ConfigurationError,
    CorruptBlobError,
    DuplicateResultError,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
    UnsupportedQueryError,
)
from lume_services.results import Result
from lume_services.services.results import ResultsDB, ResultsDBConfig
from lume_services.services.results.mongodb import (
    MongodbResultsDB,
    MongodbResultsDBConfig,
    indexes,
    inserting,
)
from lume_services.services.results.mongodb.connection import CODEC
from lume_services.services.results.mongodb.reading import read
from lume_services.testing import MemoryResultsDB, SharedResultsDBConformance
from lume_services.testing.document_cases import MOMENT, SORT_DOCUMENTS
from lume_services.testing.query_cases import QUERY_CASES


@pytest.fixture
def results_db(mongodb_url: str) -> Iterator[MongodbResultsDB]:
    store = MongodbResultsDB(ResultsDBConfig(url=mongodb_url))
    yield store
    store.close()


@pytest.fixture
def database(mongodb: MongoDB, mongodb_url: str) -> Iterator[Any]:
    """The database of ``results_db``, by PyMongo alone."""
    with mongodb.client() as client:
        yield client.get_database(mongodb_url.rpartition("/")[2], codec_options=CODEC)


class TestMongoDB(SharedResultsDBConformance):
    @pytest.fixture
    def make_another(self, mongodb_url: str) -> Callable[[], ResultsDB]:
        return lambda: MongodbResultsDB(ResultsDBConfig(url=mongodb_url))


# --- The server's answers -------------------------------------------------------------------------

KNOWN_DIFFERENCES: list[dict[str, Any]] = [
    {"x.00": 5},  # an element's number has no zeros in front
    {"x": {"$gt": b"aa"}},  # bytes are ordered by length first
    # In PCRE these mean ASCII, unless (*UCP) says otherwise.
    {"x": {"$regex": r"\d"}},
    {"x": {"$regex": r"\d", "$options": "i"}},
    {"x": {"$regex": r"[^\d]", "$options": "i"}},
    {"x": {"$regex": r"^a\w\d$", "$options": "i"}},
    {"x": {"$regex": r"a\s", "$options": "i"}},
    {"x": {"$regex": r"A\W[\W] # [\d", "$options": "ix"}},
    {"x": {"$regex": r"\bA", "$options": "i"}},
    {"x": {"$all": [[1, 2]]}},  # an array as an operand of $all is also the array itself
    {"x.y": {"$all": [1, 2]}},  # found in different documents of an array
    {"x": {"$elemMatch": {"$or": [{"y": 1}, {"y": 2}]}}},  # refused
]
"""Queries of the cases that secantusdb answers in another way than MongoDB's manual says."""


def test_server_answers_as_the_manual_says(mongodb: MongoDB, database: Any) -> None:
    """The cases that all stores are held to, asked of the server itself.

    With MongoDB's own server this shows that the cases are right.
    """
    from pymongo.errors import OperationFailure

    database["c"].insert_many([{"_id": n, **case.document} for n, case in enumerate(QUERY_CASES)])
    wrong = []
    for n, case in enumerate(QUERY_CASES):
        try:
            matches = database["c"].count_documents({"$and": [{"_id": n}, case.query]}) == 1
        except OperationFailure:
            matches = not case.matches
        known = case.query in KNOWN_DIFFERENCES and not mongodb.is_mongod
        if matches != case.matches and not known:
            wrong.append(case)
    assert not wrong, "\n".join(map(str, wrong))


def test_server_sorts_as_the_manual_says(database: Any) -> None:
    database["c"].insert_many(SORT_DOCUMENTS)
    expected = [document["_id"] for document in SORT_DOCUMENTS]
    assert [document["_id"] for document in database["c"].find().sort("x", 1)] == expected


# --- What is kept where ---------------------------------------------------------------------------


def test_indexes(results_db: MongodbResultsDB, database: Any) -> None:
    results_db.insert_one("local", {"unique_hash": "h"})
    results_db.create_index("local", ["inputs.x", "outputs.y"])
    for path in ("", "x.$y", "\ud800"):
        with pytest.raises(UnsupportedQueryError, match="not a path"):
            results_db.create_index("local", [path])
    indexes = database["local"].index_information()
    first = {index["key"][0][0] for index in indexes.values()}
    assert {"unique_hash", "flow_id", "inputs_hash", "date_modified", "inputs.x"} <= first
    assert [name for name, index in indexes.items() if index.get("unique")] == ["unique_hash_1"]


def test_indexes_come_back(
    results_db: MongodbResultsDB, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever drops a collection, or restores one, drops what keeps results from being twice."""
    now = [time.monotonic()]
    monkeypatch.setattr(indexes, "monotonic", lambda: now[0])
    for wait in (lambda: now.append(now.pop() + 100), results_db.close):
        results_db.insert_one("c", {"unique_hash": "h"})
        results_db.put_blob(b"x")
        database.drop_collection("c")
        database.drop_collection("blobs.files")
        wait()
        same = [results_db.insert_one("c", {"unique_hash": "h"}) for _ in range(2)]
        assert same[0] == same[1]
        results_db.put_blob(b"x")
        assert "filename_1" in database["blobs.files"].index_information()


def test_result_that_is_there_twice_already_is_told(
    results_db: MongodbResultsDB, database: Any
) -> None:
    database["c"].insert_many([{"_id": name, "unique_hash": "h"} for name in "ab"])
    message = r"\.c' holds twice .*unique_hash.*'h'.*all but one of each are deleted"
    with pytest.raises(ResultsDBUnavailableError, match=message):
        results_db.insert_one("c", {"unique_hash": "i"})
    results_db.delete("c", ["a"])
    results_db.insert_one("c", {"unique_hash": "i"})


@pytest.mark.parametrize(
    ("project", "collection"),
    [
        ("studies 2026/é", "studies 2026/é"),
        ("a.b", "a.b"),
        ("50% off", "50% off"),
        ("a%41", "a%2541"),
        ("cost$", "cost%24"),
        (".a..b.", "%2Ea.%2Eb%2E"),
        ("system.x", "%73ystem.x"),
        ("blobs.files", "%62lobs.files"),
        ("blobs", "blobs"),
    ],
)
def test_project_is_a_collection(
    results_db: MongodbResultsDB, database: Any, project: str, collection: str
) -> None:
    results_db.insert_one(project, {"_id": "i"})
    assert database.list_collection_names() == [collection]
    assert results_db.collections() == [project]
    assert [document["_id"] for document in results_db.scan(project)] == ["i"]
    assert [document["_id"] for document in results_db.scan(None)] == ["i"]


def test_collections_that_are_no_projects(results_db: MongodbResultsDB, database: Any) -> None:
    longest = 255 - len(f"{database.name}.")
    for name in ("%00", "%41", "blobs." + "x" * (longest - 6)):
        database[name].insert_one({"x": 1})
    results_db.insert_one("c", {"x": 1})
    assert results_db.collections() == ["c"]
    assert len(list(results_db.scan(None))) == 1
    assert results_db.collect_orphans(0) == (0, 0)


@pytest.mark.parametrize(
    ("project", "reason"), [("", "empty"), ("a\0b", "text"), ("x" * 250, "255")]
)
def test_project_that_mongodb_cannot_name(
    results_db: MongodbResultsDB, project: str, reason: str
) -> None:
    with pytest.raises(ResultsDBError, match=reason):
        results_db.insert_one(project, {"x": 1})


def test_documents_of_others_are_read(results_db: MongodbResultsDB, database: Any) -> None:
    """Those of LUME-services 0.x have ids made by MongoDB, and no place in the order."""
    ids = [ObjectId(), ObjectId()]
    database["old"].insert_many(
        [{"_id": one, "inputs": {"x": Binary(b"raw", 128)}, "unique_hash": str(one)} for one in ids]
    )
    results_db.insert_one("old", {"unique_hash": "new"})
    found = list(results_db.find("old"))
    assert [document["_id"] for document in found][:2] == [str(one) for one in ids]
    assert [document["unique_hash"] for document in found][2] == "new"
    assert results_db.insert_one("old", {"unique_hash": str(ids[0])}) == str(ids[0])
    assert [one["_id"] for one in results_db.find("old", {"_id": str(ids[1])})] == [str(ids[1])]
    assert results_db.delete("old", [str(ids[0])]) == 1


def test_ids_that_mongodb_made_are_text(results_db: MongodbResultsDB, database: Any) -> None:
    """They are found, compared and sorted as the text that they are read as, wherever they are."""
    made = [ObjectId(), ObjectId()]
    own = ["0", "5" * 24, "f" * 32, "z"]
    results_db.insert_many("old", [{"_id": name, "parent": name} for name in own])
    database["old"].insert_many([{"_id": one, "parent": [{"id": one}, one]} for one in made])
    memory = MemoryResultsDB()
    memory.insert_many("old", results_db.scan("old"))
    texts = [*own, *map(str, made), str(made[0]).upper(), "00 " * 8, "", "9", "\U0001f600", 5]
    operators = ("$eq", "$gt", "$gte", "$lt", "$lte", "$ne")
    conditions: list[Any] = [{name: text} for name in operators for text in texts]
    conditions += [{"$in": texts}, {"$in": [str(made[1])]}, {"$gte": "0", "$lt": str(made[1])}]
    for path in ("_id", "parent", "parent.id", "parent.0"):
        for condition in conditions:
            query = {path: condition}
            assert list(results_db.find("old", query)) == list(memory.find("old", query)), query
        for sort in ([(path, 1)], [(path, -1)], [("flow_id", 1), (path, -1)]):
            found = list(results_db.find("old", sort=sort, limit=5))
            assert found == list(memory.find("old", sort=sort, limit=5)), sort


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The documents that the server gave, as it gave them."""
    documents = []

    def kept(*arguments: Any) -> Iterator[dict[str, Any]]:
        for document in read(*arguments):
            documents.append(dict(document))
            yield document

    monkeypatch.setattr("lume_services.services.results.mongodb.store.read", kept)
    return documents


@pytest.mark.parametrize("made", [False, True])
def test_looking_up_an_id_reads_no_others(
    results_db: MongodbResultsDB, database: Any, made: bool, given: list[Any]
) -> None:
    if made:
        database["c"].insert_many([{"_id": ObjectId()} for _ in range(50)])
    else:
        results_db.insert_many("c", [{"_id": f"{n:024x}"} for n in range(50)])
    ids = [document["_id"] for document in results_db.scan("c")]
    given.clear()
    assert results_db.count("c", {"_id": ids[7]}) == 1
    assert results_db.count("c", {"_id": {"$in": ids[:3]}}) == 3
    assert len(given) == 4


def test_showing_a_result_reads_no_others(
    run: Run,
    mongodb_url: str,
    database: Any,
    given: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LUME_RESULTS_DB__URL", mongodb_url)
    configure()
    results = [Result(inputs={"x": n}, outputs={}, project_name="new") for n in range(50)]
    names = [result.insert() for result in results]
    database["old"].insert_many([{"_id": ObjectId(f"{n:024x}"), "x": "x" * 999} for n in range(50)])
    shown = run("results", "show", names[7][:20], "--json").json
    assert (shown["id"], shown["inputs"]) == (names[7], {"x": 7})
    whole = [document["_id"] for document in given if not {"inputs", "x"}.isdisjoint(document)]
    assert whole == [names[7]]
    several = run("results", "show", "0" * 20)
    assert several.code == 2
    assert "Several results" in several.err


def test_order_is_not_shown(results_db: MongodbResultsDB, database: Any) -> None:
    name = results_db.insert_one("c", {"x": 1})
    assert set(database["c"].find_one()) == {"_id", "x", "%sequence"}
    for fields in (None, [], ["x"], {"x": 0}, {"_id": 0}):
        for document in results_db.find("c", {"x": 1}, fields):
            assert "%sequence" not in document
    with pytest.raises(SerializationError, match="%sequence"):
        results_db.insert_one("c", {"_id": name, "%sequence": 5})


def test_others_of_the_call_are_stored(results_db: MongodbResultsDB) -> None:
    results_db.insert_one("c", {"_id": "taken"})
    with pytest.raises(DuplicateResultError, match="'taken'"):
        results_db.insert_many("c", [{"_id": "a"}, {"_id": "taken"}, {"_id": "b"}])
    assert [document["_id"] for document in results_db.scan("c")] == ["taken", "a", "b"]


def test_large_call_is_as_one(results_db: MongodbResultsDB) -> None:
    """It is sent in several messages, none of which knows of the others."""
    documents = [{"n": n, "unique_hash": f"{n % 9}", "x": "x" * 1_000_000} for n in range(12)]
    ids = results_db.insert_many("c", documents)
    assert ids[9:] == ids[:3]
    assert len(set(ids)) == 9
    assert [document["_id"] for document in results_db.scan("c")] == ids[:9]
    assert results_db.insert_many("c", documents) == ids
    large = [{"_id": name, "x": "x" * 1_500_000} for name in ("a", ids[0], "b", "c", "a", "d")]
    with pytest.raises(DuplicateResultError, match=ids[0]):
        results_db.insert_many("c", large)
    assert [document["_id"] for document in results_db.scan("c")] == [*ids[:9], *"abcd"]


def test_document_that_mongodb_refuses(results_db: MongodbResultsDB) -> None:
    large = {"x": ["x" * 1_000_000] * 17}
    with pytest.raises(SerializationError, match=r"16\.2 MiB, and MongoDB takes 16.*use Result"):
        results_db.insert_many("c", [{"x": 1}, large])
    nested: dict[str, Any] = {}
    nested["x"] = nested
    for value in (nested, 2**64, "\ud800", {1: 2}, {"a\0": 1}):
        with pytest.raises(SerializationError):
            results_db.insert_many("c", [{"x": 1}, {"x": value}])
    assert results_db.count("c") == 0


def test_query_that_mongodb_cannot_be_sent(results_db: MongodbResultsDB) -> None:
    with pytest.raises(UnsupportedQueryError, match=r"larger than MongoDB takes.*fewer"):
        results_db.count("c", {"x": {"$in": [f"{n:032}" for n in range(500_000)]}})


@pytest.mark.parametrize("name", ["_id", "unique_hash", "flow_id", "inputs_hash"])
def test_names_with_an_index_hold_text(results_db: MongodbResultsDB, name: str) -> None:
    with pytest.raises(ResultsDBError, match=f"{name} has to be text, not int"):
        results_db.insert_many("c", [{"x": 1}, {name: 5}])
    with pytest.raises(ResultsDBError, match="date_modified has to be a datetime, not str"):
        results_db.insert_one("c", {"date_modified": "yesterday"})
    assert results_db.count("c") == 0


def test_sort_by_date_reads_no_more_than_it_gives(results_db: MongodbResultsDB) -> None:
    results_db.insert_many("c", [{"n": n, "date_modified": MOMENT} for n in range(300)])
    found = results_db.find("c", sort=[("date_modified", -1)], limit=2)
    assert [document["n"] for document in found] == [0, 1]


# --- Blobs ----------------------------------------------------------------------------------------


def test_any_tool_reads_blobs(results_db: MongodbResultsDB, database: Any) -> None:
    from gridfs import GridFSBucket

    data = os.urandom(700_000)
    digest = results_db.put_blob(data)
    with GridFSBucket(database, "blobs").open_download_stream_by_name(digest) as stream:
        assert stream.read() == data


@pytest.mark.parametrize(
    "harm",
    [
        lambda chunks: chunks.delete_one({"n": 1}),
        lambda chunks: chunks.delete_many({}),
        lambda chunks: chunks.update_one({"n": 2}, {"$set": {"data": b"short"}}),
        lambda chunks: chunks.update_one({"n": 0}, {"$set": {"data": b"x" * (255 << 10)}}),
    ],
)
def test_damaged_blob_is_never_returned_and_mended(
    results_db: MongodbResultsDB, database: Any, mongodb_url: str, harm: Callable[[Any], None]
) -> None:
    data = os.urandom(700_000)
    digest = results_db.put_blob(data)
    harm(database["blobs.chunks"])
    with pytest.raises(CorruptBlobError, match=f"{digest}.*store the same values again"):
        results_db.get_blob(digest)
    another = MongodbResultsDB(ResultsDBConfig(url=mongodb_url))
    another.put_blob(data)
    assert results_db.get_blob(digest) == data
    another.close()


def test_half_written_blob_is_in_nobodys_way(results_db: MongodbResultsDB, database: Any) -> None:
    data = os.urandom(700_000)
    digest = results_db.put_blob(data)
    database["blobs.files"].delete_many({})  # as if its writer had been killed before
    assert not results_db.has_blob(digest)
    results_db.put_blob(data)
    assert results_db.get_blob(digest) == data
    assert results_db.collect_orphans(3600) == (0, 0)
    results_db.insert_one("c", {"x": {"%blob": digest, "size": len(data)}})
    assert results_db.collect_orphans(0) == (1, len(data))
    assert results_db.get_blob(digest) == data
    assert database["blobs.chunks"].count_documents({}) == 3


def test_same_blob_by_several_writers_at_once(mongodb_url: str, database: Any) -> None:
    data = os.urandom(3 << 20)
    stores = [MongodbResultsDB(ResultsDBConfig(url=mongodb_url)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(lambda store: store.put_blob(data), stores))
    assert digests == {sha256(data).hexdigest()}
    assert database["blobs.files"].count_documents({}) == 1
    assert len(database["blobs.chunks"].distinct("files_id")) == 1
    assert stores[0].get_blob(digests.pop()) == data
    for store in stores:
        store.close()


@pytest.mark.parametrize("folder", [None, "blobs"])
def test_orphans_are_collected(mongodb_url: str, tmp_path: Path, folder: str | None) -> None:
    blobs = None if folder is None else tmp_path / folder
    store = MongodbResultsDB(ResultsDBConfig(url=mongodb_url, blobs=blobs))
    digests = [store.put_blob(bytes([n]) * 2_000_000) for n in range(4)]
    store.insert_one("c", {"inputs": {"x": [{"%blob": digests[0], "size": 2_000_000}]}})
    assert store.collect_orphans(3600) == (0, 0)
    time.sleep(0.3)
    store.put_blob(bytes([1]) * 2_000_000)  # again, for a document to come
    assert store.collect_orphans(0.25) == (2, 4_000_000)
    assert [store.has_blob(digest) for digest in digests] == [True, True, False, False]
    assert blobs is None or any(blobs.iterdir())
    store.close()


# --- Settings -------------------------------------------------------------------------------------


def test_settings_choose_it(mongodb: MongoDB, mongodb_url: str, database: Any) -> None:
    assert MongodbResultsDBConfig is ResultsDBConfig
    for results_db in (
        {"url": mongodb_url},
        {"host": "http://127.0.0.1", "port": mongodb.port, "database": database.name},
    ):
        configure(LUMEServicesSettings(results_db=results_db))
        service = context.results_db_service()
        service.insert_one("local", {"x": 1})
        assert service.results_db.address == mongodb_url
    assert database["local"].count_documents({}) == 2


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"url": "mongodb://h/d"}, "mongodb://h:27017/d"),
        ({"url": "mongodb://me:hush@B:1,a/d?w=1&tls=true"}, "mongodb://a:27017,b:1/d"),
        ({"url": "mongodb://[::1]:5/d"}, "mongodb://[::1]:5/d"),
        ({"url": "mongodb+srv://me@cluster.example.org/d"}, "mongodb+srv://cluster.example.org/d"),
        ({"host": "h", "database": "d", "options": "w=1"}, "mongodb://h:27017/d"),
        ({"host": "::1", "database": "d"}, "mongodb://[::1]:27017/d"),
    ],
)
def test_address_is_without_user_and_options(settings: dict[str, str], address: str) -> None:
    store = MongodbResultsDB(ResultsDBConfig(**settings))
    assert store.address == address
    assert repr(store) == f"MongodbResultsDB({address!r})"


def test_database_has_to_be_named() -> None:
    for url in ("mongodb://h", "mongodb://h/", "mongodb://h/?w=1", "mongodb://me@h?w=1"):
        with pytest.raises(ConfigurationError, match="LUME_RESULTS_DB__URL names no database"):
            MongodbResultsDB(ResultsDBConfig(url=url))


def test_what_is_said_wins(mongodb_url: str) -> None:
    """Durable and read back by default; whoever says otherwise gets it."""
    options = "?w=1&journal=false&readConcernLevel=local&retryWrites=false&socketTimeoutMS=77"
    for url, expected in (
        (mongodb_url, ({"w": "majority", "j": True}, "majority", True, 30)),
        (mongodb_url + options, ({"w": 1, "j": False}, "local", False, 0.077)),
    ):
        store = MongodbResultsDB(ResultsDBConfig(url=url))
        client = store._connection.database().client
        assert expected == (
            client.write_concern.document,
            client.read_concern.level,
            client.options.retry_writes,
            client.options.pool_options.socket_timeout,
        )
        store.close()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"port": 1}, ResultsDBUnavailableError, "LUME_RESULTS_DB__HOST.*right"),
        ({"host": "nowhere.invalid"}, ResultsDBUnavailableError, "LUME_RESULTS_DB__HOST"),
        ({"database": "a b"}, ConfigurationError, "LUME_RESULTS_DB__DATABASE='a b'"),
        ({"options": "w=0"}, ConfigurationError, "LUME_RESULTS_DB__OPTIONS.*w to 0"),
        ({"authmechanism": "FOO"}, ConfigurationError, "LUME_RESULTS_DB__AUTHMECHANISM"),
        ({"tls": {"ca_file": "/nowhere"}}, ConfigurationError, "__TLS__CA_FILE: /nowhere cannot"),
        ({"tls": {"ca_file": __file__}}, ConfigurationError, "LUME_RESULTS_DB__TLS__CA_FILE"),
    ],
)
def test_mistakes_are_told_on_one_line(
    mongodb: MongoDB, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    place = {"host": mongodb.host, "port": mongodb.port, "database": "d"}
    config = ResultsDBConfig(**{**place, **settings}, connection={"timeout_s": 0.5})
    began = time.monotonic()
    with pytest.raises(error, match=message) as caught:
        MongodbResultsDB(config).insert_one("c", {"x": 1})
    assert time.monotonic() - began < 1.5
    assert "\n" not in str(caught.value)
    assert "Topology" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError) == (error is ResultsDBUnavailableError)


def test_nothing_is_connected_before_it_is_used() -> None:
    store = MongodbResultsDB(ResultsDBConfig(url="mongodb://nowhere.invalid/d"))
    store.find("c", {"x": 1})
    store.close()


# --- Threads and processes ------------------------------------------------------------------------


def test_reading_goes_on_when_it_is_closed(results_db: MongodbResultsDB) -> None:
    results_db.insert_many("c", [{"n": n} for n in range(150)])
    reader = results_db.scan("c")
    assert next(reader)["n"] == 0
    results_db.close()
    assert [document["n"] for document in reader] == list(range(1, 150))


def test_forked_child_opens_its_own_connections(
    results_db: MongodbResultsDB, recwarn: pytest.WarningsRecorder
) -> None:
    results_db.insert_many("c", [{"process": os.getpid()}] * 200)
    reader = results_db.scan("c")
    next(reader)
    insert_in_parent_and_children(results_db)
    assert len(list(reader)) >= 199
    assert not [warning for warning in recwarn if "fork" in str(warning.message)]


def test_child_does_not_wait_for_a_thread_of_its_parent(results_db: MongodbResultsDB) -> None:
    """Threads do not survive a fork; the locks that they hold do."""
    results_db.insert_one("c", {"n": 0})
    with inserting.CLOCK._lock, results_db._connection._lock:
        child = multiprocessing.get_context("fork").Process(
            target=insert_in_child, args=(results_db,)
        )
        child.start()
        child.join(10)
        child.kill()
    assert child.exitcode == 0
    assert results_db.count("c") == 2


def test_threads_share_a_failure_to_connect(mongodb: MongoDB) -> None:
    """They wait for the server together, not one after the other."""
    place = {"host": mongodb.host, "port": 1, "database": "d"}
    store = MongodbResultsDB(ResultsDBConfig(**place, connection={"timeout_s": 0.5}))

    def insert(number: int) -> None:
        with pytest.raises(ResultsDBUnavailableError, match=r":1.*RESULTS_DB__HOST"):
            store.insert_one("c", {"n": number})

    for _ in range(2):
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(insert, range(8)))
        assert 0.4 < time.monotonic() - began < 1.5


def test_float_that_is_no_number_is_found(results_db: MongodbResultsDB) -> None:
    """What the server is not asked for, the matcher finds."""
    results_db.insert_many("c", [{"x": value} for value in (math.nan, None, b"b", [1], {"y": 2})])
    for query, count in (
        ({"x": math.nan}, 1),
        ({"x": None}, 1),
        ({"x": {"$gt": b"a"}}, 1),
        ({"x": {"$in": [None, [1]]}}, 2),
        ({"x": {"y": 2}}, 1),
        ({"$or": [{"x": 1}, {"x.y": 2}]}, 2),
    ):
        assert results_db.count("c", query) == count
