"""The worker side of a sweep: a spawned process that evaluates points of one model."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from lume_services.models.evaluation import Evaluator, load_entry_point
from lume_services.results import describe_error

__all__ = ["Outcome", "evaluate_point", "evaluate_remotely", "pool", "without_main"]


@dataclass(frozen=True)
class Outcome:
    """What came of one evaluation."""

    started: datetime
    """UTC."""
    duration_s: float
    outputs: Mapping[str, Any]
    error: dict[str, str] | None = None
    """``type``, ``message`` and ``traceback`` when the model raised."""
    exception: BaseException | None = None
    """What was raised, in the process that raised it only."""


def evaluate_point(evaluator: Evaluator, inputs: Mapping[str, Any]) -> Outcome:
    """Evaluate one point; an exception of the model becomes part of the outcome."""
    started = datetime.now(UTC)
    clock = time.perf_counter()
    try:
        outputs = evaluator(inputs)
    except Exception as error:  # whatever the model raises is recorded
        return Outcome(
            started, time.perf_counter() - clock, {}, describe_error(error), exception=error
        )
    return Outcome(started, time.perf_counter() - clock, outputs)


# The model of this worker process: made once, by the pool's initializer.
_evaluator: Evaluator | None = None


def _load(entry_point: str, path: list[str]) -> None:
    global _evaluator  # one model a process, for as long as the process lives
    sys.path[:] = path
    _evaluator = Evaluator(load_entry_point(entry_point))


def evaluate_remotely(inputs: Mapping[str, Any]) -> Outcome:
    """Evaluate one point in a worker process."""
    assert _evaluator is not None
    outcome = evaluate_point(_evaluator, inputs)
    # Exceptions of a simulation code often do not survive pickling; their record does.
    return Outcome(outcome.started, outcome.duration_s, outcome.outputs, outcome.error)


def pool(entry_point: str, workers: int) -> ProcessPoolExecutor:
    """A pool of processes that have the model loaded.

    Processes are spawned, not forked: simulation codes hold threads and open files.
    """
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load,
        initargs=(entry_point, list(sys.path)),
    )


@contextmanager
def without_main() -> Iterator[None]:
    """Start processes that do not run the caller's script again.

    A spawned process imports the main module anew, and a script that calls ``sweep`` without an
    ``if __name__ == "__main__"`` would start its own sweep there. Workers need only the model's
    module, so the main module is out of sight while they are started.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
