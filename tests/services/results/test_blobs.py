"""Blobs in files: whole or not there, renewed by storing them again, collected when orphaned."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lume_services.errors import BlobNotFoundError, CorruptBlobError, ResultsDBError
from lume_services.results import Result
from lume_services.services.results import ResultsDBService
from lume_services.services.results.blobs import BlobFolder
from lume_services.services.results.sqlite import SQLiteResultsDB

LARGE = bytes(range(256)) * (3 << 12)  # 3 MiB
HOUR = 3600.0


@pytest.fixture
def folder(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


def file_of(folder: BlobFolder, digest: str) -> Path:
    return folder.path / digest[:2] / digest[2:]


def grow_old(path: Path, seconds: float = 2 * HOUR) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_same_bytes_are_one_file(folder: BlobFolder, data: bytes) -> None:
    digest = folder.put(data)
    file = file_of(folder, digest)
    identity = file.stat().st_ino
    for again in (folder, BlobFolder(folder.path)):
        assert again.put(data) == digest == sha256(data).hexdigest()
    assert file.stat().st_ino == identity, "it was written again"
    assert [entry for entry in folder.path.rglob("*") if entry.is_file()] == [file]


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_storing_again_renews(folder: BlobFolder, data: bytes) -> None:
    digest = folder.put(data)
    grow_old(file_of(folder, digest))
    assert next(iter(folder)).age_s > HOUR
    folder.put(data)
    assert next(iter(folder)).age_s < HOUR


@pytest.mark.parametrize("damaged", [b"", LARGE[:-1], LARGE[:-1] + b"x", LARGE + b"x"])
def test_damaged_blob_is_never_returned(folder: BlobFolder, damaged: bytes) -> None:
    digest = folder.put(LARGE)
    file_of(folder, digest).write_bytes(damaged)
    with pytest.raises(CorruptBlobError, match=str(file_of(folder, digest))):
        folder.get(digest)


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("place", [None, 0, -1, -3, "half"])
def test_storing_again_mends_a_damaged_blob(
    folder: BlobFolder, data: bytes, place: int | str | None
) -> None:
    digest = folder.put(data)
    damaged = bytearray(data)
    if place is None:
        damaged = damaged[:-1]  # cut short
    else:
        damaged[len(data) // 2 if isinstance(place, str) else place] ^= 1
    file_of(folder, digest).write_bytes(damaged)
    for again in (folder, BlobFolder(folder.path)):
        assert again.put(data) == digest
        assert folder.get(digest) == data
    assert [entry for entry in folder.path.rglob("*") if entry.is_file()] == [
        file_of(folder, digest)
    ]


def test_storing_a_result_again_mends_its_blob(tmp_path: Path) -> None:
    store = SQLiteResultsDB(tmp_path / "results.db")
    service = ResultsDBService(store)
    result = Result(inputs={}, outputs={"image": np.arange(200_000.0)})
    name = result.insert(service)
    (file,) = [entry for entry in store.blobs.path.rglob("*") if entry.is_file()]
    file.write_bytes(bytes(file.stat().st_size))
    loaded = Result.load_from_query({"_id": name}, service=service)
    with pytest.raises(CorruptBlobError, match="store the same values again"):
        loaded.outputs["image"]
    assert Result(inputs={}, outputs=result.outputs).insert(service) == name
    assert (loaded.outputs["image"] == np.arange(200_000.0)).all()
    store.close()


def test_get_gives_a_buffer_that_can_be_written(folder: BlobFolder) -> None:
    data = folder.get(folder.put(b"abc"))
    data[0] = 0
    assert folder.get(folder.put(b"abc")) == b"abc"


def test_digest_is_not_a_path(folder: BlobFolder, tmp_path: Path) -> None:
    folder.put(b"x")
    (tmp_path / "secret").write_text("secret")
    for digest in ("../secret", "../" * 20 + "etc/passwd", "a" * 63 + "/"):
        with pytest.raises(BlobNotFoundError):
            folder.get(digest)
        assert not folder.has(digest)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "blobs").touch()
    with pytest.raises(ResultsDBError, match=rf"{tmp_path}/blobs could not be written to"):
        BlobFolder(tmp_path / "blobs").put(b"x")


# --- Orphans ------------------------------------------------------------------------------------


@pytest.fixture
def results_db(tmp_path: Path) -> SQLiteResultsDB:
    return SQLiteResultsDB(tmp_path / "results.db")


def reference(digest: str, size: int) -> dict[str, object]:
    return {"%blob": digest, "size": size}


def test_old_blobs_without_a_document_are_collected(results_db: SQLiteResultsDB) -> None:
    used, nested, deleted, young = (results_db.put_blob(bytes([n]) * 100) for n in range(4))
    results_db.insert_one("c", {"x": reference(used, 100)})
    results_db.insert_one("d", {"x": [{"y": {"data": reference(nested, 100)}}]})
    results_db.delete("c", [results_db.insert_one("c", {"x": reference(deleted, 100)})])
    results_db.insert_one("c", {"x": f'"%blob":"{deleted}"', deleted: deleted})
    for digest in (used, nested, deleted):
        grow_old(file_of(results_db.blobs, digest))
    assert results_db.collect_orphans(HOUR) == (1, 100)
    assert [results_db.has_blob(d) for d in (used, nested, deleted, young)] == [1, 1, 0, 1]
    assert results_db.collect_orphans(HOUR) == (0, 0)
    assert results_db.collect_orphans(0) == (1, 100)
    assert not results_db.has_blob(young)


def test_orphan_that_is_stored_again_is_spared(results_db: SQLiteResultsDB) -> None:
    digest = results_db.put_blob(LARGE)
    grow_old(file_of(results_db.blobs, digest))
    results_db.put_blob(LARGE)
    assert results_db.collect_orphans(HOUR) == (0, 0)
    assert results_db.get_blob(digest) == LARGE


def test_blob_renewed_at_the_last_moment_is_spared(folder: BlobFolder) -> None:
    digest = folder.put(b"x")
    grow_old(file_of(folder, digest))
    (old,) = folder
    folder.put(b"x")
    assert not folder.discard(old.digest, HOUR)
    assert folder.get(digest) == b"x"


def test_what_killed_processes_left_is_collected_when_old(results_db: SQLiteResultsDB) -> None:
    blobs = results_db.blobs
    digest = results_db.put_blob(b"kept")
    results_db.insert_one("c", {"x": reference(digest, 4)})
    for name in ("incoming-old", "incoming-new"):
        (blobs.path / name).write_bytes(b"half a bl")
    grow_old(blobs.path / "incoming-old")
    # A collector was killed between taking a blob away and looking at its age.
    file_of(blobs, digest).rename(blobs.path / f"doomed-{digest}")
    assert results_db.collect_orphans(HOUR) == (1, 9)
    assert results_db.get_blob(digest) == b"kept"
    assert (blobs.path / "incoming-new").exists()


@pytest.mark.parametrize("method", ["rename", "stat"])
def test_collectors_at_once_do_not_fail(
    results_db: SQLiteResultsDB, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    orphan = results_db.put_blob(b"orphan")
    original = getattr(Path, method)

    def and_another_comes(path: Path, *arguments: Any, **options: Any) -> Any:
        done = original(path, *arguments, **options)
        if any("doomed-" in str(name) for name in (path, *arguments)):
            monkeypatch.undo()
            assert SQLiteResultsDB(results_db.path).collect_orphans(HOUR) == (0, 0)
        return done

    monkeypatch.setattr(Path, method, and_another_comes)
    assert results_db.collect_orphans(0) == (0, 0), "the other one put it back"
    assert results_db.get_blob(orphan) == b"orphan"
    assert results_db.collect_orphans(0) == (1, 6)


def test_what_is_put_back_counts_as_stored_again(results_db: SQLiteResultsDB) -> None:
    blobs = results_db.blobs
    digest = results_db.put_blob(b"x")
    file = file_of(blobs, digest)
    grow_old(file)
    # A collector was killed; then the blob is stored again, and its document is on its way.
    file.rename(blobs.path / f"doomed-{digest}")
    results_db.put_blob(b"x")
    assert results_db.collect_orphans(HOUR) == (0, 0)
    assert results_db.get_blob(digest) == b"x"


def test_nothing_to_collect(results_db: SQLiteResultsDB) -> None:
    assert results_db.collect_orphans(0) == (0, 0)
