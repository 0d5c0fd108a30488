"""Processes, servers and disks that fail while results wait: none is lost, none is there twice."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from tests.away_store import AwayDB
from tests.servers import MariaDB, MongoDB, Server

from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.errors import LUMEServicesWarning, ResultsDBUnavailableError
from lume_services.results import Result
from lume_services.serialization import blob_digests
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
from lume_services.services.results import ResultsDB, ResultsDBConfig, ResultsDBService
from lume_services.services.results.mongodb import MongodbResultsDB
from lume_services.services.results.outbox import waiting
from lume_services.services.results.sqlite import SQLiteResultsDB

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TIMES = 20
EACH = 20
AT_ONCE = 4
"""Servers; most of the time goes by waiting for them."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LUMEServicesWarning)
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AwayDB]:
    (tmp_path / "lab").mkdir()
    store = AwayDB(tmp_path / "lab")
    yield store
    store.close()


def check_all_there_once(store: ResultsDB, acknowledged: list[str]) -> None:
    """Every result that was acknowledged, under its id, once, with all of its blobs."""
    documents = list(store.scan("local"))
    ids = [document["_id"] for document in documents]
    assert len(ids) == len(set(ids))
    hashes = [document["unique_hash"] for document in documents if document["unique_hash"]]
    assert len(hashes) == len(set(hashes)), "a result is there twice"
    missing = set(acknowledged) - set(ids)
    assert not missing, f"{len(missing)} of {len(acknowledged)} are lost"
    for digest in blob_digests(documents):
        assert sha256(store.get_blob(digest)).hexdigest() == digest


# Processes are forked: that takes no time, and they are killed all the same.
FORK = multiprocessing.get_context("fork")


def write(lab: Path, outbox: Path, seed: int, said: Path) -> None:
    """Store results for ever, and say the id of each that was acknowledged."""
    service, draw = ResultsDBService(AwayDB(lab), outbox), random.Random(seed)
    with said.open("w") as output:
        for number in itertools.count():
            data = draw.randbytes(draw.randrange(1 << 20, 2 << 20))
            blob = {"%blob": service.put_blob(data), "size": len(data)}
            document = {"data": blob, "unique_hash": f"{seed}-{number}" if number % 2 else None}
            print(service.insert_one("local", document), file=output, flush=True)


def test_writers_killed_while_the_store_is_away(store: AwayDB, tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    store.leave()
    acknowledged: list[str] = []
    for seed in range(TIMES):
        said = tmp_path / f"said-{seed}"
        said.touch()
        writer = FORK.Process(target=write, args=(tmp_path / "lab", folder, seed, said))
        writer.start()
        while said.stat().st_size == 0:
            assert writer.is_alive(), "the writer gave up"
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.1))
        writer.kill()
        writer.join()
        acknowledged += said.read_text().split("\n")[:-1]
    assert store.count("local") == 0
    store.come_back()
    sent = ResultsDBService(store, folder).flush()
    assert sent.refused == []
    assert sent.sent >= len(acknowledged) >= TIMES
    check_all_there_once(store, acknowledged)
    assert waiting(folder) == []


def flush(lab: Path, outbox: Path) -> None:
    ResultsDBService(AwayDB(lab), outbox).flush()


def test_flushes_killed_in_the_middle(store: AwayDB, tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    acknowledged: list[str] = []
    in_the_middle = 0
    for seed in range(TIMES):
        store.leave()
        service, draw = ResultsDBService(store, folder), random.Random(seed)
        for number in range(EACH):
            data = draw.randbytes(1 << 14)
            blob = {"%blob": service.put_blob(data), "size": len(data)}
            document = {"data": blob, "unique_hash": f"{seed}-{number}" if number % 2 else None}
            acknowledged.append(service.insert_one("local", document))
        store.come_back()
        (documents,) = folder.glob("*/documents")
        left = draw.randrange(1, EACH)
        flushing = FORK.Process(target=flush, args=(tmp_path / "lab", folder))
        flushing.start()
        while len(list(documents.iterdir())) > left:
            assert flushing.is_alive(), "it gave up"
        flushing.kill()
        flushing.join()
        in_the_middle += len(list(documents.iterdir())) > 0
    assert in_the_middle >= TIMES // 2, "most were killed too late"
    assert ResultsDBService(store, folder).flush().refused == []
    assert store.count("local") == len(acknowledged) == TIMES * EACH
    check_all_there_once(store, acknowledged)
    assert waiting(folder) == []


# --- Disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk is mounted for this test, which needs root")
    yield disk
    context.close()
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def result(number: int) -> Result:
    image = np.random.default_rng(number).random(100_000)
    return Result(flow_id="f", inputs={"x": number}, outputs={"image": image})


def test_a_full_disk_under_the_store_and_its_outbox(small_disk: Path) -> None:
    for times in range(TIMES):
        home, filler = small_disk / f"{times}", small_disk / "filler"
        configure(LUMEServicesSettings(home=home))
        service = context.results_db_service()
        numbers = iter(range(1000))
        stored = [result(next(numbers)).insert()]
        free = os.statvfs(small_disk)
        filler.write_bytes(b"x" * (free.f_bavail * free.f_bsize - 100_000))
        # Its log may have room for some.
        with pytest.raises(ResultsDBUnavailableError) as raised:
            stored.extend(result(number).insert() for number in numbers)
        assert f"{home}/results.db failed" in str(raised.value)
        assert "free some space" in str(raised.value)
        assert f"The outbox {home}/outbox" in str(raised.value)
        found = service.find_all("local")
        assert [document["_id"] for document in found] == stored
        filler.unlink()
        stored.append(result(next(numbers)).insert())
        found = service.find_all("local")
        assert [document["_id"] for document in found] == stored
        for document in found:
            one = Result.from_document(document, service.get_blob)
            assert one == result(one.inputs["x"])
        context.close()
        shutil.rmtree(home)


def test_a_full_disk_under_the_store_alone(small_disk: Path, tmp_path: Path) -> None:
    store = SQLiteResultsDB(small_disk / "results.db")
    service = ResultsDBService(store, tmp_path / "outbox")
    acknowledged = [result(number).insert(service) for number in range(3 * TIMES)]
    ((_, kept, _),) = waiting(tmp_path / "outbox")
    assert (kept >= TIMES, store.count("local") + kept) == (True, 3 * TIMES)
    with pytest.raises(ResultsDBUnavailableError, match="free some space"):
        service.flush()
    assert [one["_id"] for one in store.scan("local")] == acknowledged[: store.count("local")]
    subprocess.run(["mount", "-o", "remount,size=128m", str(small_disk)], check=True)
    assert service.flush().refused == []
    assert [document["_id"] for document in store.scan("local")] == acknowledged, "in order"
    assert waiting(tmp_path / "outbox") == []
    store.close()


# --- A server ------------------------------------------------------------------------------------

# Registers a model of each number that it is given, and sweeps 50 points from there.
SWEEP = """
import json, sys, time
from lume_services.config import configure, context
from lume_services.models import Model, grid
from tests.models import functions
configure()
context.model_db_service().apply_schema()
for first in map(float, sys.stdin):
    print("begins", flush=True)
    began = time.monotonic()
    model = Model.create_model(description=f"waveform {first}")
    model.register(functions.waveform, version="1.0")
    registered_s = time.monotonic() - began
    points = grid(x=[first + number for number in range(50)])
    table = model.sweep(points, max_workers=0)
    swept = {"ids": list(table["id"]), "x": list(table["inputs.x"])}
    print(json.dumps(swept | {"registered_s": registered_s}), flush=True)
context.close()
"""


def sweeps_while_a_server_is_killed(
    folder: Path, killed: type[Server], retry_s: float
) -> tuple[int, int]:
    """How many results were swept; how many waited in the outbox, and sweeps for the registry.

    Args:
        folder: For the servers and for LUME_HOME.
        killed: Which of the two servers.
        retry_s: How long the results store waits for its server before it is away.
    """
    draw = random.Random(folder.name)
    home, outbox = folder / "home", folder / "home" / "outbox"
    acknowledged: list[str] = []
    waited, times = 0, TIMES // AT_ONCE
    # A sweep asks the registry before its first point only.
    moments = (0, 0.03) if killed is MariaDB else (0.1, 1.0)
    with MongoDB(folder / "documents") as mongodb, MariaDB(folder / "registry") as mariadb:
        victim = mariadb if killed is MariaDB else mongodb
        url, registry = mongodb.url("lume"), mariadb.url("registry")
        store = MongodbResultsDB(ResultsDBConfig(url=url))
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
            "LUME_HOME": str(home), "LUME_MODEL_DB__URL": registry, "LUME_RESULTS_DB__URL": url,
            "LUME_RESULTS_DB__CONNECTION__RETRY_S": str(retry_s),
            "LUME_RESULTS_DB__CONNECTION__TIMEOUT_S": "1",
        }  # fmt: skip
        sweeps = subprocess.Popen(
            [sys.executable, "-c", SWEEP],
            text=True, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert sweeps.stdin is not None
        assert sweeps.stdout is not None
        for number in range(times):
            sweeps.stdin.write(f"{50 * number}\n")
            sweeps.stdin.flush()
            assert sweeps.stdout.readline() == "begins\n"
            time.sleep(draw.uniform(*moments))
            victim.kill()
            time.sleep(3)
            victim.start()
            answer = json.loads(sweeps.stdout.readline())
            assert answer["x"] == [50.0 * number + point for point in range(50)]
            acknowledged += answer["ids"]
            waited += sum(entry.results for entry in waiting(outbox))
            waited += answer["registered_s"] > 1
            assert ResultsDBService(store, outbox).flush().refused == []
            assert waiting(outbox) == []
        sweeps.stdin.close()
        assert sweeps.wait() == 0
        assert store.count("local") == len(acknowledged) == 50 * times
        check_all_there_once(store, acknowledged)
        flows = ModelDBService(ModelDB(ModelDBConfig(url=registry))).get_flows()
        recorded = Counter(document["flow_id"] for document in store.scan("local"))
        assert recorded == {flow.flow_id: 50 for flow in flows}
        assert len(flows) == times
        store.close()
    return len(acknowledged), waited


def sweeps(folder: Path, killed: type[Server], retries: list[float]) -> int:
    """How much had to wait, of all that was swept on servers killed at the same time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        folders = [folder / f"{number}" for number in range(AT_ONCE)]
        counts = list(
            pool.map(sweeps_while_a_server_is_killed, folders, [killed] * AT_ONCE, retries)
        )
    assert sum(swept for swept, _ in counts) == TIMES * 50
    return sum(waited for _, waited in counts)


def test_the_server_of_results_killed_during_sweeps(tmp_path: Path) -> None:
    # One store waits until the server is back, the other gives up before.
    assert sweeps(tmp_path, MongoDB, [30, 0.5] * (AT_ONCE // 2)) > 0, "nothing ever had to wait"


def test_the_server_of_the_registry_killed_during_sweeps(tmp_path: Path) -> None:
    assert sweeps(tmp_path, MariaDB, [30] * AT_ONCE) > 0, "the registry was never away"
