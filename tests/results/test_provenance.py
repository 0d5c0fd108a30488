"""Where a result comes from can be told, and is not part of what it is."""

from __future__ import annotations

import getpass
import os
import pickle
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from lume_services.errors import BlobNotFoundError
from lume_services.results import Provenance, Result
from lume_services.serialization import blob_digests, hash_only
from lume_services.services.results import ResultsDBService
from lume_services.services.results.memory import MemoryResultsDB
from lume_services.services.results.sqlite import SQLiteResultsDB

STARTED = datetime(2026, 10, 1, tzinfo=UTC)


def test_it_says_where_when_and_with_what() -> None:
    provenance = Provenance.collect(STARTED, 1.5)
    assert provenance.host == platform.node()
    assert provenance.user == getpass.getuser()
    assert provenance.python == platform.python_version()
    assert (provenance.started, provenance.duration_s) == (STARTED, 1.5)
    assert f"numpy=={version('numpy')}" in provenance.package_list()
    assert f"lume-services=={version('lume-services')}" in provenance.package_list()


def test_packages_are_those_that_python_knows() -> None:
    from importlib.metadata import distributions

    known = {f"{canonicalize_name(d.name)}=={d.version}" for d in distributions()}
    listed = Provenance.collect().package_list()
    assert set(listed) == known
    assert listed == sorted(listed)


def test_it_comes_back_with_its_package_list(service: Any) -> None:
    provenance = Provenance.collect(STARTED, 1.5)
    Result(inputs={}, provenance=provenance).insert(service)
    loaded = Result.load_from_query({"provenance.packages": provenance.packages}, service=service)
    assert loaded.provenance == provenance
    assert loaded.provenance.package_list() == provenance.package_list()
    (document,) = service.find_all("local")
    assert bytes(service.get_blob(document["provenance"]["packages"])).startswith(b"a")
    assert blob_digests(document) == {provenance.packages}


def test_packages_of_another_environment_are_read_from_the_store(service: Any) -> None:
    packages = b"numpy==1.0\nscipy==0.1"
    document = Result(inputs={}, provenance=Provenance.collect()).get_db_dict()
    document["provenance"] |= {
        "packages": service.put_blob(packages),
        "package_list": {"%blob": hash_only(packages), "size": len(packages)},
    }
    loaded = Result.from_document(document, service.get_blob)
    assert loaded.provenance.package_list() == ["numpy==1.0", "scipy==0.1"]
    assert loaded.get_db_dict()["provenance"] == document["provenance"]
    sent = pickle.loads(pickle.dumps(loaded))
    assert sent.provenance == loaded.provenance
    with pytest.raises(BlobNotFoundError, match="package list"):
        sent.provenance.package_list()
    assert "package_list" not in sent.get_db_dict()["provenance"]


def test_it_is_never_part_of_what_a_result_is() -> None:
    one = Result(inputs={"x": 1.0}, provenance=Provenance.collect(STARTED, 1.0))
    other = Result(inputs={"x": 1.0}, provenance=Provenance.collect(STARTED, 2.0))
    assert one.unique_hash == other.unique_hash == Result(inputs={"x": 1.0}).unique_hash


def test_each_store_gets_the_package_list(service: Any) -> None:
    for store in (service, ResultsDBService(MemoryResultsDB())):
        Result(inputs={}, provenance=Provenance.collect()).insert(store)
        (document,) = store.find_all("local")
        assert store.get_blob(document["provenance"]["packages"])


def test_results_after_a_collection_have_the_package_list_again(tmp_path: Path) -> None:
    service = ResultsDBService(SQLiteResultsDB(tmp_path / "results.db"))
    first = Result(inputs={"x": 1.0}, provenance=Provenance.collect())
    service.delete("local", [first.insert(service)])
    assert service.collect_orphans(0)[0] == 1
    Result(inputs={"x": 2.0}, provenance=Provenance.collect()).insert(service)
    (document,) = service.find_all("local")
    assert service.get_blob(document["provenance"]["packages"])


def test_the_package_list_of_a_result_to_come_is_young(tmp_path: Path) -> None:
    service = ResultsDBService(SQLiteResultsDB(tmp_path / "results.db"))
    result = Result(inputs={"x": 1.0}, provenance=Provenance.collect())
    for _ in range(2):
        document = result.get_db_dict(service.put_blob)
        digest = document["provenance"]["packages"]
        file = tmp_path / "results-blobs" / digest[:2] / digest[2:]
        assert time.time() - file.stat().st_mtime < 60, "it would be collected under our hands"
        os.utime(file, (0, 0))
