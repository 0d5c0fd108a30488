"""A MongoDB server that is killed, stopped or frozen: nothing acknowledged is lost or twice."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread, Timer

import pytest
from tests.servers import MongoDB

from lume_services.errors import ResultsDBUnavailableError
from lume_services.services.results import ResultsDBConfig
from lume_services.services.results.mongodb import MongodbResultsDB

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MongoDB]:
    """A server of this test's own, to do harm to."""
    with MongoDB(tmp_path / "server") as server:
        yield server


def opened(url: str, **connection: float) -> MongodbResultsDB:
    return MongodbResultsDB(ResultsDBConfig(url=url, connection=connection))


# Says number, id, and digest when there is a blob, of each result that is stored; ends on a word.
WRITE = """
import os, random, select, sys
from lume_services.services.results import ResultsDBConfig
from lume_services.services.results.mongodb import MongodbResultsDB
url, seed = sys.argv[1], int(sys.argv[2])
store, draw, n = MongodbResultsDB(ResultsDBConfig(url=url)), random.Random(seed), 0
while not select.select([0], [], [], 0)[0]:
    document, digest = {"n": n, "writer": seed, "x": draw.random()}, "-"
    if n % 2:
        document["unique_hash"] = f"{seed}-{n}"
    if draw.random() < 0.1:
        data = draw.randbytes(draw.randrange(1 << 20, 3 << 20))
        digest = store.put_blob(data)
        document["data"] = {"%blob": digest, "size": len(data)}
    name = store.insert_one("c", document)
    os.write(1, f"{n} {name} {digest}\\n".encode())
    n += 1
"""


def test_killed_server_loses_nothing_acknowledged(server: MongoDB, tmp_path: Path) -> None:
    url = server.url("kill")
    said = [tmp_path / f"said-{seed}" for seed in range(2)]
    writers = []
    for seed, path in enumerate(said):
        with path.open("wb") as output:
            command = [sys.executable, "-c", WRITE, url, str(seed)]
            writers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output))
    draw = random.Random(0)
    for _ in range(20):
        before = [path.stat().st_size for path in said]
        while any(path.stat().st_size == size for path, size in zip(said, before, strict=True)):
            assert [writer.poll() for writer in writers] == [None, None], "a writer gave up"
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))  # any moment will do
        server.kill()
        time.sleep(draw.uniform(0.1, 0.8))
        server.start()
    for writer in writers:
        writer.communicate(b"enough")
        assert writer.returncode == 0

    store = opened(url)
    stored = {document["_id"]: document for document in store.scan("c")}
    acknowledged = 0
    for seed, path in enumerate(said):
        for number, name, digest in map(str.split, path.read_text().splitlines()):
            document = stored[name]
            assert (document["writer"], document["n"]) == (seed, int(number))
            assert document.get("data", {}).get("%blob", "-") == digest
            acknowledged += 1
    assert acknowledged > 100
    assert len(stored) == acknowledged, "what was tried again is there once"
    blobs = [document["data"] for document in stored.values() if "data" in document]
    for blob in blobs:
        assert len(store.get_blob(blob["%blob"])) == blob["size"]
    store.collect_orphans(0)
    with server.client() as client:
        files = client["kill"]["blobs.files"]
        assert Counter(files.distinct("filename")) == Counter(blob["%blob"] for blob in blobs)
        chunks = client["kill"]["blobs.chunks"].distinct("files_id")
        assert set(chunks) == set(files.distinct("_id"))
    store.close()
    print(f"{acknowledged} results, {len(blobs)} blobs: none lost, none twice")


def test_killed_writers_lose_nothing_acknowledged(mongodb_url: str, tmp_path: Path) -> None:
    acknowledged: list[list[str]] = []
    for seed in range(20):
        said = tmp_path / f"said-{seed}"
        with said.open("wb") as output:
            command = [sys.executable, "-c", WRITE, mongodb_url, str(seed)]
            writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output)
        while said.stat().st_size == 0:
            assert writer.poll() is None, "the writer gave up"
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.3))
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        acknowledged += [line.split() for line in said.read_text().split("\n")[:-1]]
    store = opened(mongodb_url)
    stored = {document["_id"]: document for document in store.scan("c")}
    for _, name, digest in acknowledged:
        assert stored[name].get("data", {}).get("%blob", "-") == digest
    assert len(stored) <= len(acknowledged) + 20, "one each may be there that was not acknowledged"
    used = {document["data"]["%blob"] for document in stored.values() if "data" in document}
    for digest in used:
        assert sha256(store.get_blob(digest)).hexdigest() == digest
    store.collect_orphans(0)
    assert {blob.digest for blob in store.blobs} == used
    store.close()


def test_store_goes_on_after_a_restart(server: MongoDB) -> None:
    store = opened(server.url("restart"))
    store.insert_one("c", {"n": 0})
    server.kill()
    Timer(1, server.start).start()
    store.insert_one("c", {"n": 1})
    assert store.count("c") == 2
    store.close()


def test_reading_goes_on_after_a_restart(server: MongoDB) -> None:
    store = opened(server.url("read"))
    store.insert_many("c", [{"n": n, "x": "x" * 100_000} for n in range(600)])
    found = store.find("c", {"n": {"$gte": 0}}, ["n"])
    whole = store.scan("c")
    numbers = [[next(found)["n"], next(found)["n"]], [next(whole)["n"]]]
    server.kill()
    server.start()
    numbers[0] += [document["n"] for document in found]
    numbers[1] += [document["n"] for document in whole]
    assert numbers == [list(range(600))] * 2
    store.close()


def test_sorted_reading_says_that_the_server_was_lost(server: MongoDB) -> None:
    store = opened(server.url("sorted"))
    store.insert_many("c", [{"flow_id": f"{n}"} for n in range(600)])
    found = store.find("c", sort=[("flow_id", 1)])
    next(found)
    server.kill()
    server.start()
    with pytest.raises(ResultsDBUnavailableError):
        list(found)
    assert len(list(store.find("c", sort=[("flow_id", 1)]))) == 600
    store.close()


def test_server_that_stays_away_is_told(server: MongoDB) -> None:
    store = opened(server.url("away"), timeout_s=1, retry_s=2)
    store.insert_one("c", {"n": 0})
    server.kill()
    began = time.monotonic()
    with pytest.raises(ResultsDBUnavailableError, match=f"mongodb://127.0.0.1:{server.port}/away"):
        store.insert_one("c", {"n": 1})
    assert 1 < time.monotonic() - began < 6
    store.close()


def test_server_that_stays_away_is_waited_for_once(server: MongoDB) -> None:
    store = opened(server.url("once"), timeout_s=0.3, retry_s=4)
    store.insert_one("c", {"n": 0})
    server.kill()
    with pytest.raises(ResultsDBUnavailableError):
        store.count("c")
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(ResultsDBUnavailableError):
            store.count("c")
    assert time.monotonic() - began < 4, "every call waits anew"
    server.start()
    assert store.count("c") == 1
    # It answers again, so it is waited for again.
    server.kill()
    restart = Timer(1, server.start)
    restart.start()
    assert store.count("c") == 1
    restart.join()
    store.close()


def test_frozen_server_holds_nobody_for_ever(server: MongoDB) -> None:
    store = opened(server.url("frozen"), timeout_s=1, retry_s=2)
    store.insert_one("c", {"n": 0})
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    status = Path(f"/proc/{server.process.pid}/stat")
    while status.read_text().rpartition(")")[2].split()[0] != "T":  # it may still answer
        time.sleep(0.01)
    try:
        for ask in (lambda: store.insert_one("c", {"n": 1}), lambda: store.count("c")):
            began = time.monotonic()
            with pytest.raises(ResultsDBUnavailableError):
                ask()
            assert time.monotonic() - began < 10
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    store.insert_one("c", {"n": 2})
    assert store.count("c") >= 2
    store.close()


@contextmanager
def slow_line(port: int, rate: int) -> Iterator[int]:
    """A port from which a server of this machine is reached, at so many bytes a second."""

    def pump(source: socket.socket, target: socket.socket, rate: float) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 15):
                time.sleep(len(data) / rate)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for ends in ((client, server, rate), (server, client, 1e9)):
                    Thread(target=pump, args=ends, daemon=True).start()

    with socket.socket() as listener:
        # Set before listening, a small buffer is that of each connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_slow_line_lets_a_large_call_through(server: MongoDB) -> None:
    """Each message has the time that a server has to answer, not all of the call."""
    server.url("slow")
    with slow_line(server.port, 3_000_000) as port:
        url = f"mongodb://127.0.0.1:{port}/slow?directConnection=true"
        store = opened(url, timeout_s=1, retry_s=3.5)
        documents = [{"n": n, "x": os.urandom(1_000_000)} for n in range(16)]
        store.insert_many("c", documents)
        data = os.urandom(15_000_000)
        assert store.get_blob(store.put_blob(data)) == data
        assert store.count("c") == 16
        store.close()
