"""Upgrades that are started by several processes at once, and that are killed in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from lume_services.services.models.db import migrations
from tests.services.models import test_migrations, together
from tests.services.models.conftest import registry

pytestmark = pytest.mark.slow

PROCESSES = 4


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with together.pool(PROCESSES) as started:
        yield started


def upgrade(url: str) -> str | None:
    service = registry(url)
    together.wait()
    service.apply_schema()
    return service.current_revision()


@pytest.mark.parametrize("original", [False, True], ids=["empty", "original"])
def test_four_at_once(url: str, exist: None, pool: ProcessPoolExecutor, original: bool) -> None:
    if original:
        test_migrations.execute(url, test_migrations.ORIGINAL + test_migrations.ROWS)
    revisions = list(pool.map(upgrade, [url] * PROCESSES))
    assert revisions == [migrations.HEAD] * PROCESSES
    assert test_migrations.differences(url) == []
    if original:
        test_migrations.check_taken_over(url, registry(url))


@pytest.fixture
def exist(url: str) -> None:
    """See that the folder of a SQLite file is there."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir()


def in_child(work: Callable[[], object]) -> int:
    """Do it in a child process.

    Returns:
        Its exit code; that of a signal is negative.
    """
    child = os.fork()
    if child == 0:
        # Anything that is raised here must not run the rest of the test a second time.
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def upgrade_until(url: str, number: int) -> None:
    """Upgrade, but be killed in the place of a statement that changes something."""
    left = number

    @event.listens_for(Engine, "before_cursor_execute")
    def _kill(connection: object, cursor: object, statement: str, *rest: object) -> None:
        nonlocal left
        if statement.strip().split()[0] in ("CREATE", "ALTER", "INSERT", "UPDATE", "DROP"):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    registry(url).apply_schema()


@pytest.mark.parametrize("original", [False, True], ids=["empty", "original"])
def test_killed_at_every_statement(
    url: str, exist: None, database: str, request: pytest.FixtureRequest, original: bool
) -> None:
    number = 0
    while True:
        if original:
            test_migrations.execute(url, test_migrations.ORIGINAL + test_migrations.ROWS)
        ended = in_child(partial(upgrade_until, url, number))
        assert ended in (0, -signal.SIGKILL)
        service = registry(url)
        if ended:
            assert service.current_revision() != migrations.HEAD
        service.apply_schema()
        assert test_migrations.differences(url) == [], number
        if original:
            test_migrations.check_taken_over(url, service)
        else:
            service.store_project("p")
        service._model_db.close()
        if ended == 0:
            break
        # The others undo everything, wherever it ends.
        number += 2 if database == "mariadb" or number == 0 else 6
        if database == "sqlite":
            Path(url.removeprefix("sqlite:///")).unlink()
        else:
            request.getfixturevalue(database).url(url.rpartition("/")[2])
    assert number > 5
