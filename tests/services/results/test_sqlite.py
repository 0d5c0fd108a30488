"""What is SQLite's own: its file, its errors, its indexes, other processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services.results.forks import insert_in_parent_and_children

from lume_services.errors import (
    ConfigurationError,
    DuplicateResultError,
    ResultsDBError,
    ResultsDBUnavailableError,
)
from lume_services.services import network
from lume_services.services.results import ResultsDBConfig
from lume_services.services.results.sqlite import SQLiteResultsDB
from lume_services.testing.document_cases import MOMENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


@pytest.fixture
def results_db(path: Path) -> Iterator[SQLiteResultsDB]:
    store = SQLiteResultsDB(path)
    yield store
    store.close()


# --- Finding ------------------------------------------------------------------------------------


def test_limit_reads_no_more_than_it_gives(results_db: SQLiteResultsDB) -> None:
    results_db.insert_many("c", [{"n": n, "text": "x" * 10_000} for n in range(300)])
    tracemalloc.start()
    found = results_db.find("c", {"n": {"$gte": 2}}, limit=2)
    assert [document["n"] for document in found] == [2, 3]
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("query", "sort"),
    [
        ({"unique_hash": "h7"}, None),
        ({"flow_id": "f7"}, None),
        ({"flow_id": {"$in": ["f7", "f8"]}}, None),
        ({"$and": [{"inputs_hash": "i7"}, {"x": 1}]}, None),
        ({"_id": "7"}, None),
        ({"date_modified": {"$gte": MOMENT}}, None),
        ({"flow_id": "f7"}, [("date_modified", -1)]),
    ],
)
def test_index_is_used(
    results_db: SQLiteResultsDB, path: Path, query: dict[str, Any], sort: Any
) -> None:
    """A document that cannot be read does no harm to who does not ask for it."""
    results_db.insert_many(
        "c",
        [
            {"_id": f"{n}", "unique_hash": f"h{n}", "flow_id": f"f{n}", "inputs_hash": f"i{n}"}
            for n in range(20)
        ],
    )
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET document = 'not JSON' WHERE id = '3'")
    assert len(list(results_db.find("c", query, sort=sort))) <= 2


@pytest.mark.parametrize("name", ["_id", "unique_hash", "flow_id", "inputs_hash"])
def test_names_with_a_column_hold_text(results_db: SQLiteResultsDB, name: str) -> None:
    with pytest.raises(ResultsDBError, match=f"{name} has to be text, not int"):
        results_db.insert_many("c", [{"x": 1}, {name: 5}])
    with pytest.raises(ResultsDBError, match="date_modified has to be a datetime, not str"):
        results_db.insert_one("c", {"date_modified": "yesterday"})
    assert results_db.count("c") == 0


# --- The file -----------------------------------------------------------------------------------


def test_home_holds_it_by_default(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    store = SQLiteResultsDB.from_settings(None, home=home)
    store.insert_one("c", {"x": 1})
    store.put_blob(b"blob")
    assert {entry.name for entry in home.iterdir()} >= {"results.db", "blobs"}
    store.close()


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite:///~/other.db", "sqlite:///other.db"])
def test_url_names_the_file(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = ResultsDBConfig(url=form.format(tmp_path / "other.db"))
    store = SQLiteResultsDB.from_settings(config, home=tmp_path / "home")
    store.put_blob(b"blob")
    monkeypatch.chdir("/")
    store.close()
    store.insert_one("c", {"x": 1})
    store.close()
    assert {entry.name for entry in tmp_path.iterdir()} == {"other.db", "other-blobs"}


def test_the_address_tells_the_file_and_leads_back_to_it(tmp_path: Path) -> None:
    store = SQLiteResultsDB.from_settings(None, home=tmp_path)
    assert store.address == f"sqlite:///{tmp_path}/results.db"
    digest = store.put_blob(b"blob")
    same = SQLiteResultsDB.from_settings(ResultsDBConfig(url=store.address), home=tmp_path)
    assert (same.address, same.get_blob(digest)) == (store.address, b"blob")
    same.close()
    store.close()


@pytest.mark.parametrize("file", ["results.db", "other.db"])
def test_blobs_go_to_the_folder_that_is_set(tmp_path: Path, file: str) -> None:
    config = ResultsDBConfig(url=f"sqlite:///{tmp_path / file}", blobs=tmp_path / "large")
    store = SQLiteResultsDB.from_settings(config, home=tmp_path)
    store.put_blob(b"blob")
    assert (tmp_path / "large").is_dir()
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=ro"])
def test_url_that_names_no_file_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LUME_RESULTS_DB__URL"):
        SQLiteResultsDB.from_settings(ResultsDBConfig(url=url), home=tmp_path)


MOUNTS = """\
22 27 0:21 / / rw,relatime - ext4 /dev/vda rw
23 22 0:22 / /home rw shared:1 - nfs4 server:/home rw
24 23 0:23 / /home/local\\040disk rw - xfs /dev/vdb rw
25 22 0:24 / /homes rw - fuse.sshfs me@server: rw
26 22 0:25 / /twice rw - ext4 /dev/vdc rw
27 22 0:26 / /twice rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/data", "ext4"),
        ("/home/me/.local", "nfs4"),
        ("/home/local disk/me", "xfs"),
        ("/home/local", "nfs4"),
        ("/homes/me", "fuse.sshfs"),
        ("/twice", "cifs"),
    ],
)
def test_filesystem_of_a_folder(folder: str, kind: str) -> None:
    assert network.filesystem_type(Path(folder) / "results.db", MOUNTS) == kind


def test_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(network, "MOUNTINFO", mounts)
    for kind in ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "fuse.sshfs", "9p"):
        mounts.write_text(f"1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / {tmp_path} rw - {kind} s rw\n")
        remedy = rf"LUME_HOME: {tmp_path}.* \({kind}\).*Set LUME_HOME to a folder on a local disk"
        with pytest.raises(ConfigurationError, match=remedy):
            SQLiteResultsDB.from_settings(None, home=tmp_path)
        config = ResultsDBConfig(url=f"sqlite:///{tmp_path / 'x.db'}")
        with pytest.raises(ConfigurationError, match="LUME_RESULTS_DB__URL: "):
            SQLiteResultsDB.from_settings(config, home=Path("/nowhere"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["mountinfo"]


def test_file_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE model (id)")
    before = path.read_bytes()
    with pytest.raises(ResultsDBError, match="not one of results"):
        SQLiteResultsDB(path)
    assert path.read_bytes() == before


def test_file_of_a_newer_version_is_refused(results_db: SQLiteResultsDB, path: Path) -> None:
    results_db.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(ResultsDBError, match=r"newer version .*format 2.*upgrade lume-services"):
        SQLiteResultsDB(path)


def test_file_of_a_version_that_never_was_is_refused(
    results_db: SQLiteResultsDB, path: Path
) -> None:
    results_db.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(ResultsDBError, match=r"is of format 0, .* reads 1"):
        SQLiteResultsDB(path)


def test_collection_without_a_name_is_not_called_a_duplicate(results_db: SQLiteResultsDB) -> None:
    with pytest.raises(ResultsDBError, match=r"NOT NULL.*collection") as caught:
        results_db.insert_one(None, {"x": 1})  # as users may
    assert not isinstance(caught.value, DuplicateResultError)


def test_collection_whose_name_is_no_text(results_db: SQLiteResultsDB) -> None:
    for ask in (results_db.scan, results_db.find):
        with pytest.raises(ResultsDBError, match="surrogate"):
            list(ask("\ud800"))
    with pytest.raises(ResultsDBError, match="surrogate"):
        results_db.count("\ud800")


def test_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"These are my notes, not a database.\n" * 100)
    with pytest.raises(ResultsDBError, match=rf"{path}.*move it away"):
        SQLiteResultsDB(path)


def test_damaged_file(results_db: SQLiteResultsDB, path: Path) -> None:
    results_db.insert_many("c", [{"x": "y" * 500} for _ in range(200)])
    results_db.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(ResultsDBError, match=rf"{path}.*restore it from a backup"):
        list(SQLiteResultsDB(path).scan("c"))


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be made.*Set LUME_HOME"):
        SQLiteResultsDB(tmp_path / "file" / "results.db")
    with pytest.raises(ResultsDBError, match=str(tmp_path)):
        SQLiteResultsDB(tmp_path)


def test_locked_for_too_long(
    results_db: SQLiteResultsDB, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lume_services.services.results.sqlite.connections.BUSY_TIMEOUT_S", 0.05)
    results_db.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    busy = rf"{path}.*Another process has been writing"
    with pytest.raises(ResultsDBUnavailableError, match=busy):
        results_db.insert_one("c", {"x": 1})
    assert list(results_db.scan("c")) == [], "a reader does not wait for the writer"
    other.execute("ROLLBACK")
    other.close()
    results_db.insert_one("c", {"x": 1})


FILL = """
import resource, sys
from lume_services.errors import ResultsDBError
from lume_services.services.results.sqlite import SQLiteResultsDB
store = SQLiteResultsDB(sys.argv[1])
store.insert_one("c", {"n": 0})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, -1))
try:
    store.insert_many("c", [{"text": "x" * 1000} for _ in range(1000)])
except ResultsDBError as error:
    print("document", error)
try:
    store.put_blob(b"x" * 300_000)
except ResultsDBError as error:
    print("blob", error)
try:
    store.put_blob(b"x" * 3_000_000)
except ResultsDBError as error:
    print("blob", error)
store.insert_one("c", {"n": 1})
store.put_blob(b"small")
"""


def test_full_disk_leaves_nothing_half_written(path: Path) -> None:
    """A limit on the size of files stands for a disk that is full."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, check=True
    )
    document, *blobs = done.stdout.splitlines()
    assert document.startswith(f"document The results database {path} failed: ")
    assert "free space" in document
    assert len(blobs) == 2
    assert all("Free some space" in line and str(path.parent) in line for line in blobs)
    store = SQLiteResultsDB(path)
    assert [document["n"] for document in store.scan("c")] == [0, 1]
    assert [blob.size for blob in store.blobs] == [5]
    assert [entry for entry in store.blobs.path.iterdir() if not entry.is_dir()] == []
    store.close()


# --- Threads and processes ----------------------------------------------------------------------


def test_reading_goes_on_while_it_is_written(results_db: SQLiteResultsDB) -> None:
    results_db.insert_many("c", [{"n": n} for n in range(2_000)])
    reader = results_db.scan("c")
    assert next(reader)["n"] == 0
    results_db.insert_one("c", {"n": -1})
    results_db.close()
    results_db.insert_one("c", {"n": -2})
    assert [document["n"] for document in reader] == list(range(1, 2_000))
    assert results_db.count("c") == 2_002


def test_forked_child_opens_its_own_connection(results_db: SQLiteResultsDB) -> None:
    results_db.insert_one("c", {"process": os.getpid()})
    reader = results_db.scan("c")
    next(reader)
    insert_in_parent_and_children(results_db)
    with sqlite3.connect(results_db.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


OPEN = """
import sys
from lume_services.services.results.sqlite import SQLiteResultsDB
sys.stdin.readline()
SQLiteResultsDB(sys.argv[1]).insert_one("c", {"x": 1})
"""


def test_several_processes_make_it_at_once(path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # now
    assert [process.wait() for process in processes] == [0] * 4
    assert SQLiteResultsDB(path).count("c") == 4


def test_a_database_that_is_deleted_while_it_is_in_use_is_told(path: Path) -> None:
    store = SQLiteResultsDB(path)
    store.insert_one("local", {"x": 1})
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    with pytest.raises(ResultsDBError, match="was deleted or replaced while it was in use"):
        store.insert_one("local", {"x": 2})
    store.insert_one("local", {"x": 3})
    assert [document["x"] for document in SQLiteResultsDB(path).scan("local")] == [3]
