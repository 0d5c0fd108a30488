"""``configure`` and ``context``: lazy, shared, replaceable, and clear when used too early."""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dependency_injector.wiring import Provide, inject

from lume_services.config import Context, LUMEServicesSettings, configure, context
from lume_services.errors import (
    ConfigurationError,
    EnvironmentNotConfiguredError,
    UnknownPluginError,
)
from lume_services.files import TextFile
from lume_services.services.results import ResultsDBService
from lume_services.services.results.sqlite import SQLiteResultsDB
from lume_services.testing import MemoryResultsDB

SERVICES = ("model_db_service", "results_db_service", "file_service", "scheduling_service")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_asked_for_too_early_says_what_to_call(service: str) -> None:
    with pytest.raises(EnvironmentNotConfiguredError, match=r"configure\(\) first"):
        getattr(context, service)()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_made_once_whatever_thread_asks(service: str) -> None:
    configure()
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: getattr(context, service)(), range(32)))
    assert len({id(one) for one in made}) == 1


def test_configure_opens_nothing(lume_home: Path) -> None:
    configure()
    assert list(lume_home.iterdir()) == []


def test_everything_embedded_is_kept_under_home(lume_home: Path) -> None:
    configure()
    context.model_db_service().store_project(project_name="local", description="")
    context.results_db_service().insert_one("local", {"x": 1})
    assert {"models.db", "results.db"} <= {path.name for path in lume_home.iterdir()}


def test_configuring_again_replaces_services_and_closes_what_was_open(tmp_path: Path) -> None:
    configure(LUMEServicesSettings(home=tmp_path / "one"))
    first = context.results_db_service()
    first.insert_one("local", {"x": 1})
    configure(LUMEServicesSettings(home=tmp_path / "two"))
    assert context.results_db_service() is not first
    assert context.results_db_service().count("local") == 0
    opened = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    assert str(tmp_path / "one" / "results.db") not in opened


def test_own_implementations_are_used_and_dropped_when_configured_again() -> None:
    mine = MemoryResultsDB()
    configure(results_db=mine)
    context.results_db_service().insert_one("local", {"x": 1})
    assert [document["x"] for document in mine.scan("local")] == [1]
    configure()
    assert context.results_db_service().count("local") == 0


def test_a_backend_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        UnknownPluginError, match=r"LUME_BACKEND='abacus' .* Available: docker, kubernetes, local"
    ):
        configure(LUMEServicesSettings(backend="abacus"))


def test_a_store_that_is_not_there_is_refused_with_those_that_are() -> None:
    settings = LUMEServicesSettings(results_db={"url": "redis://h"})
    with pytest.raises(ConfigurationError, match=r"LUME_RESULTS_DB__URL='redis' .* sqlite"):
        configure(settings)


def test_a_further_filesystem_is_used_by_its_identifier(tmp_path: Path) -> None:
    configure(LUMEServicesSettings(filesystems={"data": {"url": f"file://{tmp_path}"}}))
    assert context.file_service().identifiers == ["data", "local"]
    TextFile(filename="notes/a.txt", filesystem_identifier="data").write("text")
    assert (tmp_path / "notes" / "a.txt").read_text() == "text"


def test_a_filesystem_that_is_not_there_is_refused_with_those_that_are() -> None:
    settings = LUMEServicesSettings(filesystems={"data": {"url": "tape://library"}})
    with pytest.raises(
        UnknownPluginError, match=r"LUME_FILESYSTEMS__DATA__URL='tape' .*: file, s3, sftp,"
    ):
        configure(settings)


def test_the_context_imported_before_configuring_is_the_one_in_use() -> None:
    early = context
    configure()
    assert early.results_db_service() is context.results_db_service()
    assert early.settings.backend == "local"


@pytest.fixture
def application() -> types.ModuleType:
    """A module of a user's application with a function that wants a service."""
    module = types.ModuleType("application")

    @inject
    def count(results: ResultsDBService = Provide["results_db_service"]) -> int:
        return results.count("local")

    module.count = count
    sys.modules["application"] = module
    return module


def test_a_wired_module_gets_services_and_stays_wired(application: Any, tmp_path: Path) -> None:
    context.wire("application")
    configure(LUMEServicesSettings(home=tmp_path / "one"))
    assert application.count() == 0
    context.results_db_service().insert_one("local", {"x": 1})
    assert application.count() == 1
    configure(LUMEServicesSettings(home=tmp_path / "two"))
    assert application.count() == 0


def test_the_container_class_is_part_of_the_public_face() -> None:
    assert {*SERVICES} <= set(Context.providers)


def in_child(work: Callable[[], object]) -> str:
    """What a forked child says about some work."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = str(work())
        except BaseException as error:
            answer = repr(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    return answer


def test_a_fork_waits_for_a_service_that_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def slow(config: Any, *, home: Path) -> MemoryResultsDB:
        begun.set()
        time.sleep(0.3)
        return MemoryResultsDB()

    monkeypatch.setattr(SQLiteResultsDB, "from_settings", slow)
    configure()
    thread = threading.Thread(target=context.results_db_service)
    thread.start()
    begun.wait()
    assert in_child(lambda: context.results_db_service().count("local")) == "0"
    thread.join()


def test_a_forked_child_makes_its_own_services() -> None:
    configure()
    service = context.results_db_service()
    service.insert_one("local", {"x": 1})

    def work() -> object:
        mine = context.results_db_service()
        mine.insert_one("local", {"x": 2})
        return mine is not service, mine.count("local")

    assert in_child(work) == "(True, 2)"
    assert service.count("local") == 2
    service.insert_one("local", {"x": 3})
    assert service.count("local") == 3
