"""Several writers, and writers that are killed: what was acknowledged is there, and whole."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from lume_services.services.results.sqlite import SQLiteResultsDB

WRITE_MANY = """
import sys
from lume_services.services.results.sqlite import SQLiteResultsDB
path, writer, count = sys.argv[1:]
store = SQLiteResultsDB(path)
for n in range(int(count)):
    store.insert_one("c", {
        "unique_hash": f"{writer}-{n}", "flow_id": writer, "inputs": {"x": n * 0.1}, "n": n,
    })
"""


@pytest.mark.slow
def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path, count = tmp_path / "results.db", 5_000
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE_MANY, str(path), name, str(count)])
        for name in ("first", "second")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    store = SQLiteResultsDB(path)
    assert store.count("c") == 2 * count
    for name in ("first", "second"):
        found = [document["n"] for document in store.find("c", {"flow_id": name}, ["n"])]
        assert found == list(range(count)), "in the order in which it was written"
    store.close()


# Says the id, and the digest when there is a blob, of each result that is stored.
WRITE_UNTIL_KILLED = """
import os, random, sys
from lume_services.services.results.sqlite import SQLiteResultsDB
path, seed = sys.argv[1], int(sys.argv[2])
store, draw = SQLiteResultsDB(path), random.Random(seed)
while True:
    document, digest = {"x": draw.random(), "raw": draw.randbytes(draw.randrange(3_000))}, "-"
    if draw.random() < 0.3:
        data = draw.randbytes(draw.randrange(1 << 20, 4 << 20))
        digest = store.put_blob(data)
        document["data"] = {"%blob": digest, "size": len(data)}
    name = store.insert_one("c", document)
    os.write(1, f"{name} {digest}\\n".encode())
"""


@pytest.mark.slow
def test_killed_writers_lose_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    acknowledged: list[list[str]] = []
    for seed in range(20):
        said = tmp_path / f"said-{seed}"
        with said.open("wb") as output:
            command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path), str(seed)]
            writer = subprocess.Popen(command, stdout=output)
        while said.stat().st_size == 0:
            assert writer.poll() is None, "the writer gave up"
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.3))  # any moment will do
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        acknowledged += [line.split() for line in said.read_text().split("\n")[:-1]]
    assert len(acknowledged) > 100

    store = SQLiteResultsDB(path)
    stored = {document["_id"]: document for document in store.scan("c")}
    for name, digest in acknowledged:
        data = stored[name].get("data")
        assert (data["%blob"] if data else "-") == digest
    for document in stored.values():
        if data := document.get("data"):
            assert len(store.get_blob(data["%blob"])) == data["size"]
    for blob in store.blobs:
        assert sha256(store.get_blob(blob.digest)).hexdigest() == blob.digest
    store.collect_orphans(0)
    used = {document["data"]["%blob"] for document in stored.values() if "data" in document}
    assert {blob.digest for blob in store.blobs} == used
    assert [entry for entry in store.blobs.path.iterdir() if entry.is_file()] == []
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
