"""A local run starts nothing, connects to nothing and writes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import prefect
import pytest
from prefect import flow_engine, task_engine
from prefect.context import FlowRunContext, TaskRunContext

from lume_services.engine import flow, task

SCRIPT = """
import os, pathlib, sys
from lume_services.engine import flow, local_run, task
from prefect import get_run_logger

home = pathlib.Path(os.environ["PREFECT_HOME"])
before = sorted(home.rglob("*"))  # importing Prefect makes the folder itself
started = []
sys.addaudithook(lambda event, args: event in ("subprocess.Popen", "os.fork", "os.posix_spawn",
    "os.exec", "socket.connect", "socket.bind", "sqlite3.connect") and started.append(event))

@task(retries=1, timeout_seconds=10)
def one(x):
    get_run_logger().info("hello")
    return x + 1

@flow(timeout_seconds=10)
def three(x: int):
    return one(one.submit(one(x)))

assert three(1) == 4
assert local_run(three, {"x": 1}).execute() == 4
assert not started, started
assert sorted(home.rglob("*")) == before == [], (before, sorted(home.rglob("*")))
"""


def test_no_process_no_connection_no_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PREFECT_HOME": str(tmp_path / "prefect"), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prefect"]


def test_the_extra_to_install_is_named_when_prefect_is_missing() -> None:
    script = (
        "import sys; sys.modules['prefect'] = None\n"
        "from lume_services.errors import MissingDependencyError\n"
        "try:\n    import lume_services.flows\n"
        "except MissingDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'lume-services[prefect]'" in done.stdout


@pytest.mark.parametrize("context", [FlowRunContext, TaskRunContext])
def test_inside_a_run_of_prefects_engine_they_are_prefects(
    monkeypatch: pytest.MonkeyPatch, context: type
) -> None:
    monkeypatch.setattr(task_engine, "run_task_sync", lambda **options: "task by Prefect")
    monkeypatch.setattr(flow_engine, "run_flow_sync", lambda **options: "flow by Prefect")

    @task
    def one() -> str:
        return "inline"

    @flow
    def two() -> str:
        return "inline"

    with context.model_construct():
        assert (one(), two()) == ("task by Prefect", "flow by Prefect")
    assert (one(), two()) == ("inline", "inline")


def test_plain_prefect_flows_are_left_alone_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_engine, "run_flow_sync", lambda **options: "flow by Prefect")

    @prefect.flow
    def plain() -> str:
        return "inline"

    assert plain() == "flow by Prefect"


def test_drawing_a_flow_runs_no_task() -> None:
    called = []

    @task(viz_return_value=1)
    def one() -> int:
        called.append(True)
        return 1

    with prefect.utilities.visualization.TaskVizTracker() as tracker:
        one()
    assert not called
    assert [drawn.name for drawn in tracker.tasks] == ["one-0"]
