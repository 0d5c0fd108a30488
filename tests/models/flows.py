"""A flow of a model's own, for the tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefect import get_run_logger

from lume_services.flows import flow, task
from lume_services.results import Result
from lume_services.tasks import save_db_result
from tests.models.functions import thin_lens


@task
def first(f: float) -> dict[str, Any]:
    return thin_lens({"f": f})


@task
def second(f: float, ray: dict[str, Any]) -> dict[str, Any]:
    return thin_lens({"f": f, **ray})


@flow
def two_lenses(f: float) -> float:
    """The angle of a ray after two thin lenses with a drift of 1 m after each."""
    return float(second(f, first(f))["xp"])


@flow
def says_when_it_begins(seconds: float) -> float:
    """Takes a while, and logs when it has begun."""
    get_run_logger().warning("begun")
    time.sleep(seconds)
    return seconds


@flow
def leaves_a_line(path: str, line: str) -> None:
    """Adds a line to a file that others add to."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


@task
def a_moment() -> None:
    time.sleep(0.1)


@flow
def waits_a_minute() -> None:
    """A minute of short tasks."""
    for _ in range(600):
        a_moment()


@flow
def records_itself(f: float) -> None:
    save_db_result(Result(inputs={"f": f}, outputs=thin_lens({"f": f})))
