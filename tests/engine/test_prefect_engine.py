"""The same objects under Prefect's engine, with a server that it starts itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import prefect
from prefect import get_run_logger
from prefect.context import FlowRunContext, TaskRunContext
from prefect.flow_engine import run_flow

from lume_services.engine import flow, task
from lume_services.errors import RunError
from lume_services.services.scheduling.backends import LocalBackend, RunState

@task
def add(x, y):
    assert TaskRunContext.get().client is not None, "not under Prefect's engine"
    return x + y

@flow
def ours(x: int):
    assert FlowRunContext.get().client is not None, "not under Prefect's engine"
    return add(x, 1) + add.submit(x, 2).result() + sum(add.map([1, 2], y=x).result())

@prefect.flow
def plain(x: int):
    get_run_logger().warning("plain %d", x)
    return ours(x)

# As a worker starts it.
assert run_flow(ours, parameters={"x": 1}) == 10

# A plain flow on the local backend, and one of ours inside it.
run = LocalBackend().run(flow=plain, parameters={"x": 1}, name="by-prefect")
assert run.result() == 10
assert run.state is RunState.COMPLETED
assert "plain 1" in [record.message for record in run.logs()]
for refused in (run.task_results, LocalBackend().run(flow=plain, parameters={"x": 1}).cancel):
    try:
        refused()
    except RunError as error:
        assert "lume_services.flows.flow" in str(error)
    else:
        raise AssertionError(refused)

error = OSError("mine")

@prefect.flow
def failing():
    raise error

run = LocalBackend().run(flow=failing)
assert run.wait() is RunState.FAILED
try:
    run.result()
except OSError as caught:
    assert caught is error

@prefect.flow
async def later(x: int):
    return x

assert LocalBackend().run_and_return(flow=later, parameters={"x": 1}) == 1
"""


@pytest.mark.slow
def test_the_same_flow_under_prefects_engine(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={
            **os.environ,
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
