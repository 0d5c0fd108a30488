"""Evaluating points in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

from lume_services.errors import ModelLoadError
from lume_services.models.evaluation import Evaluator, Outcome, load_entry_point

__all__ = ["evaluate_remotely", "pool", "without_main"]


# The model of this worker process, made once by the pool's initializer; or why there is none.
_loaded: Evaluator | str = "not loaded"


def _load(entry_point: str, path: list[str]) -> None:
    global _loaded
    # An interrupt is for the process that asked for the points; it ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path[:] = path
    try:
        _loaded = Evaluator(load_entry_point(entry_point))
    except Exception as error:  # raised here it would only break the pool
        _loaded = f"{entry_point} cannot be loaded in a worker process: {error}"


def _end_with_parent() -> None:
    """Nobody is left to take the results when the process that asked for them is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def evaluate_remotely(inputs: Mapping[str, Any]) -> Outcome:
    """Evaluate one point in a worker process.

    Raises:
        ModelLoadError: The model cannot be loaded there.
    """
    if isinstance(_loaded, str):
        raise ModelLoadError(_loaded)
    # Exceptions of a simulation code often do not survive pickling; their record does.
    return replace(_loaded.outcome(inputs), exception=None)


@contextmanager
def pool(entry_point: str, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that have the model loaded; left by an exception, they are ended at once.

    They are spawned, not forked: simulation codes hold threads and open files.
    """
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load,
        initargs=(entry_point, list(sys.path)),
    )
    try:
        yield executor
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


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
