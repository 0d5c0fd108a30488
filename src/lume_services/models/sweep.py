"""Evaluating a model at many points: in parallel, recorded as they come, and resumable."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lume_services.context import context
from lume_services.errors import (
    InvalidInputError,
    LUMEServicesError,
    LUMEServicesWarning,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.models._packaged import PackagedEvaluator
from lume_services.models._recorder import Recorder
from lume_services.models._workers import evaluate_remotely, pool, without_main
from lume_services.models.evaluation import Evaluator, Outcome
from lume_services.results import frame
from lume_services.serialization import canonical_hash, encode

if TYPE_CHECKING:
    import pandas as pd

    from lume_services.models._deployed import Deployed

__all__ = ["run_sweep"]

Point = Mapping[str, Any]
Record = Callable[[int, Outcome], None]
"""Takes the number of a point and what came of it."""

# So many points are looked up in one query.
_QUERIED = 500

# So many points a worker are handed out at a time: enough that it never waits for the next one.
_AHEAD = 8


def run_sweep(deployed: Deployed, points: Sequence[Point], max_workers: int | None) -> pd.DataFrame:
    """Evaluate and record; what ``Model.sweep`` promises."""
    if max_workers is not None and max_workers < 0:
        raise InvalidInputError(f"max_workers={max_workers} is negative")
    service = context.results_db_service()
    inputs = [_checked(deployed, number, point) for number, point in enumerate(points)]
    hashes = [canonical_hash(encode(point, path="inputs")) for point in inputs]  # inputs_hash
    documents = _recorded(deployed, hashes)
    # A point that stands twice among the points is evaluated once.
    new = dict(zip(hashes, inputs, strict=True))
    order = [digest for digest in new if digest not in documents]
    run_id = str(uuid4())

    with (
        _progress_bar(len(order)) as advance,
        Recorder(deployed.flow.project_name, service) as recorder,
    ):

        def record(number: int, outcome: Outcome) -> None:
            digest = order[number]
            result = deployed.result(new[digest], outcome, run_id)
            try:
                document = result.get_db_dict(service.put_blob)
            except SerializationError as error:
                result = deployed.result(new[digest], outcome.failed(error), run_id)
                document = result.get_db_dict(service.put_blob)
            documents[digest] = document
            recorder.add(document)
            advance()

        _evaluate(deployed, [new[digest] for digest in order], max_workers, record)
    rows = [documents[digest] for digest in hashes]
    try:
        return frame(rows, service.get_blob)
    except ResultsDBUnavailableError as error:
        _warn(f"Everything is recorded, but large values cannot be read now: {error}")
        return frame(rows)


def _checked(deployed: Deployed, number: int, point: Point) -> dict[str, Any]:
    try:
        return deployed.evaluator.check(point)
    except InvalidInputError as error:
        raise InvalidInputError(f"point {number}: {error}") from None


def _recorded(deployed: Deployed, hashes: Sequence[str]) -> dict[str, Any]:
    """Documents of the points that have succeeded before, by the hash of their inputs."""
    service = context.results_db_service()
    project_name = deployed.flow.project_name
    found: dict[str, Any] = {}
    wanted = list(dict.fromkeys(hashes))
    try:
        for start in range(0, len(wanted), _QUERIED):
            query = {
                "flow_id": deployed.flow.flow_id,
                "inputs_hash": {"$in": wanted[start : start + _QUERIED]},
                "status": "success",
            }
            for document in service.find(project_name, query):
                found.setdefault(document["inputs_hash"], document)
    except ResultsDBUnavailableError as error:
        _warn(f"Which points are recorded in the database cannot be seen: {error}", level=5)
    query = {"flow_id": deployed.flow.flow_id, "status": "success"}
    for document in service.find_waiting(project_name, query):
        found.setdefault(document["inputs_hash"], document)
    return found


def _warn(message: str, level: int = 4) -> None:
    # So many levels up is who called Model.sweep.
    warnings.warn(message, LUMEServicesWarning, stacklevel=level)


def _evaluate(
    deployed: Deployed, points: Sequence[Point], max_workers: int | None, record: Record
) -> None:
    entry_point = deployed.deployment.entry_point
    if entry_point is None and points and max_workers != 0:
        warnings.warn(
            f"{deployed.deployment.model.description!r} is defined in a notebook or script, so "
            "other processes cannot load it: the sweep runs in this one. Put it into a module to "
            "use every core.",
            LUMEServicesWarning,
            stacklevel=4,
        )
    evaluator = deployed.evaluator
    if not points:
        return
    if isinstance(evaluator, PackagedEvaluator):
        _evaluate_in_environment(evaluator, points, _worker_count(max_workers) or 1, record)
    elif entry_point is None or max_workers == 0:
        _evaluate_here(evaluator, points, record)
    else:
        _evaluate_in_pool(entry_point, points, _worker_count(max_workers), record)


def _worker_count(max_workers: int | None) -> int:
    if max_workers is not None:
        return max_workers
    # Schedulers give a job fewer cores than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _evaluate_here(evaluator: Evaluator, points: Sequence[Point], record: Record) -> None:
    for number, point in enumerate(points):
        record(number, evaluator.outcome(point))


def _evaluate_in_environment(
    evaluator: PackagedEvaluator, points: Sequence[Point], workers: int, record: Record
) -> None:
    """Evaluate points of a packaged model in several processes, in no particular order."""
    workers = min(workers, len(points))
    running: dict[Future[Outcome], int] = {}
    executor = ThreadPoolExecutor(workers or 1)
    with evaluator.processes(workers) as outcome:
        try:
            waiting = deque(range(len(points)))
            while waiting or running:
                while waiting and len(running) < workers * _AHEAD:
                    number = waiting.popleft()
                    running[executor.submit(outcome, points[number])] = number
                wait(running, return_when=FIRST_COMPLETED)
                _record_done(running, record)
        except BaseException:
            _record_done(running, record)
            raise
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _evaluate_in_pool(
    entry_point: str, points: Sequence[Point], workers: int, record: Record
) -> None:
    """Evaluate points in spawned processes, in no particular order.

    A point whose process dies (a crash of the simulation code, or the system running out of
    memory) has failed; the other points go on in a new pool.

    Raises:
        ModelLoadError: The model cannot be loaded in a worker.
    """
    waiting = deque(range(len(points)))
    while waiting:
        running: dict[Future[Outcome], int] = {}
        try:
            with pool(entry_point, min(workers, len(waiting))) as executor:
                while waiting or running:
                    with without_main():
                        while waiting and len(running) < workers * _AHEAD:
                            future = executor.submit(evaluate_remotely, points[waiting[0]])
                            running[future] = waiting.popleft()
                    wait(running, return_when=FIRST_COMPLETED)
                    _record_done(running, record)
        except BrokenProcessPool:
            # One of the points killed its process; which one, shows when each has its own.
            for number in running.values():
                record(number, _evaluate_alone(entry_point, points[number]))
        except BaseException:
            _record_done(running, record)
            raise


def _record_done(running: dict[Future[Outcome], int], record: Record) -> None:
    """Record the points that are done and take them out of those running."""
    for future in [future for future in running if future.done() and not future.cancelled()]:
        outcome = _outcome(future)
        record(running.pop(future), outcome)


def _evaluate_alone(entry_point: str, point: Point) -> Outcome:
    started = datetime.now(UTC)
    try:
        with pool(entry_point, 1) as executor:
            with without_main():
                future = executor.submit(evaluate_remotely, point)
            return _outcome(future)
    except BrokenProcessPool:
        message = "the process that evaluated this point died"
        error = {"type": "ProcessDied", "message": message, "traceback": ""}
        return Outcome(started, (datetime.now(UTC) - started).total_seconds(), {}, error)


def _outcome(future: Future[Outcome]) -> Outcome:
    """The outcome of a point; what cannot be sent back between processes is a failure of it."""
    try:
        return future.result()
    except (BrokenProcessPool, LUMEServicesError):
        raise
    except Exception as error:  # whatever pickling an output raised
        return Outcome(datetime.now(UTC), 0.0, {}).failed(error)


@contextmanager
def _progress_bar(points: int) -> Iterator[Callable[[], None]]:
    """Show, on a terminal or in a notebook, the points done and the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, disable=not shown or points == 0) as progress:
        task = progress.add_task("Sweep", total=points)
        yield lambda: progress.advance(task)
