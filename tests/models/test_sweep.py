"""Sweeps: every point recorded once, failures among them, in parallel and resumable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lume_services.config import context
from lume_services.errors import InvalidInputError, LUMEServicesWarning, ModelLoadError
from lume_services.models import Model, grid
from tests.models import functions, physics


def registered(obj: Any, description: str = "swept") -> Model:
    model = Model.create_model(description=description)
    model.register(obj, version="1.0")
    return model


def test_a_grid_is_every_combination_the_last_fastest() -> None:
    points = grid(x=[1, 2], y=np.array([0.5, 1.5]), mode="fast", z=3.0)
    assert points[:2] == [
        {"x": 1, "y": 0.5, "mode": "fast", "z": 3.0},
        {"x": 1, "y": 1.5, "mode": "fast", "z": 3.0},
    ]
    assert len(points) == 4


def test_points_are_evaluated_in_worker_processes_and_come_back_in_order() -> None:
    model = registered(functions.where)
    table = model.sweep(grid(x=range(120)), max_workers=2)
    assert list(table["inputs.x"]) == list(range(120))
    assert set(table["status"]) == {"success"}
    assert set(table["outputs.pid"]).isdisjoint({os.getpid()})
    assert table["outputs.pid"].nunique() == 2
    assert len(model.get_results()) == 120


def test_a_lume_model_is_made_in_each_worker() -> None:
    strengths = np.linspace(0.5, 5.0, 4)
    table = registered(physics.Quadrupole).sweep(grid(**{"QUAD:K1": strengths}), max_workers=1)
    assert np.allclose(table["outputs.trace"], 2 * np.cos(np.sqrt(strengths) * 0.5))


def test_a_failed_point_is_recorded_and_the_others_go_on() -> None:
    model = registered(functions.fails_above_one)
    table = model.sweep(grid(x=[0.0, 2.0, 1.0]), max_workers=1)
    assert list(table["status"]) == ["success", "failed", "success"]
    (failed,) = model.get_results({"status": "failed"})
    assert failed.error is not None
    assert failed.error["message"] == "no solution at x = 2.0"
    assert "fails_above_one" in failed.error["traceback"]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("model", "kind"),
    [(functions.cannot_be_stored, "SerializationError"), (functions.gives_up, "SystemExit")],
)
def test_whatever_goes_wrong_at_a_point_the_others_go_on(
    model: Any, kind: str, workers: int
) -> None:
    swept = registered(model)
    table = swept.sweep(grid(x=[1, 2, 3]), max_workers=workers)
    assert list(table["status"]) == ["success", "failed", "success"]
    assert table["id"].notna().all()
    (failed,) = swept.get_results({"status": "failed"})
    assert failed.error is not None
    assert failed.error["type"].endswith(kind)


def test_a_model_that_no_worker_can_load_stops_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_TEST_PARENT", str(os.getpid()))
    model = registered(functions.OnlyInTheParent)
    with pytest.raises(ModelLoadError, match=r"OnlyInTheParent .* licence server is away"):
        model.sweep(grid(x=range(20)), max_workers=1)
    assert model.get_results() == []


SLOW_SWEEP = """
import signal
# A shell that runs the tests in the background has its programs ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
from lume_services.config import configure
from lume_services.models import Model, grid
from tests.models import functions
configure()
model = Model.create_model(description="slow")
model.register(functions.slow_at_the_end, version="1.0")
print("begun", flush=True)
model.sweep(grid(x=range(4)), max_workers=int(sys.argv[1]))
"""


@pytest.fixture
def slow_sweep(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], subprocess.Popen[str]]:
    """Start a sweep in another process whose last point takes a minute."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def start(workers: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW_SWEEP, str(workers)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    return start


def stored_within(seconds: float, wanted: int) -> bool:
    deadline = time.monotonic() + seconds
    while context.results_db_service().count("local") < wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_results_are_stored_while_a_slow_point_is_evaluated(
    slow_sweep: Callable[[int], subprocess.Popen[str]],
) -> None:
    process = slow_sweep(0)
    try:
        assert stored_within(20, 3)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_workers_end_when_the_process_that_asked_is_killed(
    slow_sweep: Callable[[int], subprocess.Popen[str]],
) -> None:
    process = slow_sweep(1)
    assert stored_within(20, 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 15
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a worker goes on without its parent"
        time.sleep(0.05)


def test_an_interrupt_ends_a_pool_at_once_and_keeps_what_is_done(
    slow_sweep: Callable[[int], subprocess.Popen[str]],
) -> None:
    process = slow_sweep(1)
    assert stored_within(20, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert "KeyboardInterrupt" in errors
    assert context.results_db_service().count("local") == 3


@pytest.mark.slow
def test_a_point_that_kills_its_process_is_a_failed_point() -> None:
    model = registered(functions.dies_at_two)
    table = model.sweep(grid(x=range(6)), max_workers=2)
    assert list(table["status"]) == ["success", "success", "failed", *["success"] * 3]
    (failed,) = model.get_results({"status": "failed"})
    assert failed.error is not None
    assert failed.error["type"] == "ProcessDied"


def test_outputs_that_cannot_be_sent_between_processes_are_a_failure_of_the_point() -> None:
    table = registered(functions.cannot_be_sent).sweep(grid(x=[1, 2]), max_workers=1)
    assert list(table["status"]) == ["failed", "failed"]


def test_what_succeeded_is_not_run_again() -> None:
    model = registered(functions.fails_above_one)
    first = model.sweep(grid(x=[0.0, 1.0, 2.0]), max_workers=0)
    second = model.sweep(grid(x=[0.0, 1.0, 2.0, 0.5]), max_workers=0)
    assert list(second["status"]) == ["success", "success", "failed", "success"]
    assert list(second["date_modified"][:2]) == list(first["date_modified"][:2])
    assert len(model.get_results({"status": "success"})) == 3
    assert len(model.get_results({"status": "failed"})) == 2


def test_a_point_given_twice_is_run_once() -> None:
    model = registered(physics.Quadrupole)
    table = model.sweep([{"QUAD:K1": 2.0}, {"QUAD:K1": 2}], max_workers=0)
    assert len(table) == 2
    assert len(model.get_results()) == 1


def test_a_frame_of_points_and_a_frame_of_results() -> None:
    model = registered(physics.Quadrupole)
    table = model.sweep(pd.DataFrame({"QUAD:K1": [1.0, 2.0], "slices": [1, 2]}), max_workers=0)
    again = model.sweep(table, max_workers=0)
    assert list(again["outputs.trace"]) == list(table["outputs.trace"])
    assert len(model.get_results()) == 2


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([{"QUAD:K1": 1.0}, {"QUAD:K1": 99.0}], "point 1: QUAD:K1=99.0"),
        ([{"QUAD:K2": 1.0}], "point 0: 'QUAD:K2' is not an input"),
        ({"QUAD:K1": [1.0]}, r"points are dictionaries .* this is a dict"),
        ([1.0], "point 0 is a float, not a dictionary"),
    ],
)
def test_wrong_points_are_named_before_anything_runs(points: Any, message: str) -> None:
    model = registered(physics.Quadrupole)
    with pytest.raises(InvalidInputError, match=message):
        model.sweep(points)
    assert model.get_results() == []


def test_no_points_give_an_empty_table() -> None:
    assert len(registered(physics.Quadrupole).sweep([])) == 0


def test_a_model_of_a_notebook_is_swept_here_and_says_so() -> None:
    model = Model.create_model(description="notebook")
    with pytest.warns(LUMEServicesWarning, match="this process only"):
        model.register(lambda inputs: {"y": inputs["x"]}, version="1.0")
    with pytest.warns(LUMEServicesWarning, match="the sweep runs in this one"):
        table = model.sweep(grid(x=[1, 2]), max_workers=2)
    assert list(table["outputs.y"]) == [1, 2]


def test_a_script_without_a_guard_can_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from lume_services.config import configure\n"
        "from lume_services.models import Model, grid\n"
        "from tests.models import functions\n"
        "configure()\n"
        "model = Model.create_model(description='script')\n"
        "model.register(functions.where, version='1.0')\n"
        "print(len(model.sweep(grid(x=range(4)), max_workers=2)))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["4"], done.stderr


def test_an_interrupted_sweep_keeps_what_it_has_and_goes_on() -> None:
    calls: list[float] = []

    def interrupted(inputs: dict[str, Any]) -> dict[str, Any]:
        if len(calls) == 3:
            calls.append(-1.0)
            raise KeyboardInterrupt
        calls.append(inputs["x"])
        return {"y": inputs["x"]}

    model = Model.create_model(description="interrupted")
    with pytest.warns(LUMEServicesWarning):
        model.register(interrupted, version="1.0")
    with pytest.raises(KeyboardInterrupt):
        model.sweep(grid(x=range(6)), max_workers=0)
    assert len(model.get_results()) == 3
    table = model.sweep(grid(x=range(6)), max_workers=0)
    assert list(table["outputs.y"]) == list(range(6))
    assert calls == [0, 1, 2, -1.0, 3, 4, 5]


def test_large_outputs_of_workers_are_recorded() -> None:
    model = registered(functions.screen)
    table = model.sweep(grid(x=[1, 2, 3]), max_workers=2)
    for number, image in zip([1, 2, 3], table["outputs.image"], strict=True):
        assert np.array_equal(image, np.random.default_rng(number).random((512, 512)))
