"""Many processes and large arrays, on every store."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.servers import MongoDB

from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.results import Result
from lume_services.services.results import ResultsDB, ResultsDBConfig
from lume_services.services.results.mongodb import MongodbResultsDB
from lume_services.services.results.sqlite import SQLiteResultsDB
from lume_services.testing import MemoryResultsDB

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A server that is thrown away: to drop large databases from one takes long."""
    server = MongoDB(tmp_path_factory.mktemp("mongodb")).start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty results database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'results.db'}"
    return str(request.getfixturevalue("server").url("processes"))


# A tenth of what each process stores, all of them store; some by one, some together.
INSERT = """
import sys
from lume_services.config import configure, context
configure()
service, writer = context.results_db_service(), int(sys.argv[1])
sys.stdin.readline()
for start in range(0, 1_000, 125):
    documents = [
        {"unique_hash": f"{writer if n % 10 else 'shared'}-{n}", "writer": writer, "n": n}
        for n in range(start, start + 125)
    ]
    ids = [service.insert_one("c", documents[0]), *service.insert_many("c", documents[1:])]
    for document, name in zip(documents, ids):
        print(document["unique_hash"], name)
"""


def test_eight_processes_store_each_result_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_RESULTS_DB__URL", url)
    said = [tmp_path / f"said-{writer}" for writer in range(8)]
    writers = []
    for number, path in enumerate(said):
        with path.open("wb") as output:
            command = [sys.executable, "-c", INSERT, str(number)]
            writers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output))
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()  # now
    assert [writer.wait() for writer in writers] == [0] * 8

    configure()
    service = context.results_db_service()
    stored = {document["unique_hash"]: document["_id"] for document in service.find_all("c")}
    assert service.count("c") == len(stored) == 8 * 900 + 100
    for path in said:
        told = dict(line.split() for line in path.read_text().splitlines())
        assert len(told) == 1_000
        assert told.items() <= stored.items(), "the id told is that of the one there"
    by_writer = Counter(document["writer"] for document in service.find_all("c"))
    assert set(by_writer) == set(range(8))
    for writer in range(8):
        numbers = [document["n"] for document in service.find("c", {"writer": writer})]
        assert numbers == sorted(numbers), "in the order in which it stored them"


@pytest.fixture(params=["memory", "sqlite", "mongodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ResultsDB]]:
    """A function that opens the store; each time anew, where its data is kept."""
    opened: list[ResultsDB] = []
    memory = MemoryResultsDB()
    if request.param == "mongodb":
        url = request.getfixturevalue("server").url("large")

    def open_it() -> ResultsDB:
        if request.param == "memory":
            return memory
        if request.param == "sqlite":
            opened.append(SQLiteResultsDB(tmp_path / "results.db"))
        else:
            opened.append(MongodbResultsDB(ResultsDBConfig(url=url)))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


def test_array_of_200_mb_comes_back(store: Callable[[], ResultsDB]) -> None:
    array = np.random.default_rng(1).integers(0, 2**63, 25_000_000)
    assert array.nbytes == 200_000_000
    configure(LUMEServicesSettings(), results_db=store())
    name = Result(inputs={}, outputs={"image": array}).insert()
    configure(LUMEServicesSettings(), results_db=store())
    found = Result.load_from_query({"_id": name}).outputs["image"]
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@pytest.mark.parametrize("store", ["sqlite", "mongodb"], indirect=True)
def test_blob_is_not_held_twice(store: Callable[[], ResultsDB]) -> None:
    results_db = store()
    data = np.random.default_rng(2).bytes(100_000_000)
    tracemalloc.start()
    digest = results_db.put_blob(data)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.reset_peak()
    assert len(memoryview(results_db.get_blob(digest))) == len(data)
    assert tracemalloc.get_traced_memory()[1] < 160_000_000
    tracemalloc.stop()
