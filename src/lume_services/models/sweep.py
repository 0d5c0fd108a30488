"""Evaluating a model at many points: in parallel, recorded as they come, and resumable."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lume_services.context import context
from lume_services.errors import InvalidInputError, LUMEServicesError, LUMEServicesWarning
from lume_services.models._workers import (
    Outcome,
    evaluate_point,
    evaluate_remotely,
    pool,
    without_main,
)
from lume_services.models.evaluation import Evaluator
from lume_services.results import Result, describe_error, frame
from lume_services.serialization import canonical_hash, encode

if TYPE_CHECKING:
    import pandas as pd

    from lume_services.models._deployed import Deployed
    from lume_services.services.results import ResultsDBService

__all__ = ["Recorder", "evaluate_here", "evaluate_in_pool", "run_sweep", "worker_count"]

# A result that is computed is stored after this time at the latest.
_FLUSH_AFTER_S = 1.0
_BATCH = 200

# So many points are looked up in one query.
_QUERIED = 500

# So many points a worker are handed out at a time: enough that it never waits for the next one.
_AHEAD = 8


def worker_count(max_workers: int | None, points: int) -> int:
    """Number of processes to use: the cores of this process unless told otherwise."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(min(cores or 1 if max_workers is None else max_workers, points), 1)


class Recorder:
    """Stores results in batches, each at most a second after it was computed."""

    def __init__(self, collection: str, service: ResultsDBService) -> None:
        self._collection = collection
        self.service = service
        self._waiting: list[dict[str, Any]] = []
        self._flushed = time.monotonic()

    def add(self, result: Result) -> dict[str, Any]:
        """Take a result; the document of it that will be stored."""
        document = result.get_db_dict(self.service.put_blob)
        self._waiting.append(document)
        return document

    def flush_if_due(self) -> None:
        """Store what waits if it has waited long enough."""
        late = time.monotonic() - self._flushed >= _FLUSH_AFTER_S
        if late or len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Store everything that waits, in one transaction."""
        if self._waiting:
            self.service.insert_many(self._collection, self._waiting)
        self._waiting = []
        self._flushed = time.monotonic()


def evaluate_here(
    evaluator: Evaluator, points: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Outcome]]:
    """Evaluate points one after the other in this process."""
    for number, point in enumerate(points):
        yield number, evaluate_point(evaluator, point)


def evaluate_in_pool(
    entry_point: str, points: Sequence[Mapping[str, Any]], workers: int
) -> Iterator[tuple[int, Outcome | None]]:
    """Evaluate points in spawned processes, in no particular order.

    A point whose process dies (a crash of the simulation code, or the system running out of
    memory) is a failed outcome; the other points go on in a new pool.

    Yields:
        The number of a point and its outcome; ``None`` as outcome after half a second without
        one, so that the caller can store what it has.

    Raises:
        ModelLoadError: The model cannot be loaded in a worker.
    """
    waiting = deque(range(len(points)))
    while waiting:
        running: dict[Future[Outcome], int] = {}
        executor = pool(entry_point, workers)
        try:
            while waiting or running:
                _fill(executor, running, waiting, points, workers * _AHEAD)
                done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = _outcome(future)
                    yield running.pop(future), outcome
                if not done:
                    yield -1, None
        except BrokenProcessPool:
            pass
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        # One of these killed its process; which one shows when each has a process of its own.
        for number in running.values():
            yield number, _evaluate_alone(entry_point, points[number])


def _fill(
    executor: ProcessPoolExecutor,
    running: dict[Future[Outcome], int],
    waiting: deque[int],
    points: Sequence[Mapping[str, Any]],
    limit: int,
) -> None:
    with without_main():
        while waiting and len(running) < limit:
            future = executor.submit(evaluate_remotely, points[waiting[0]])
            running[future] = waiting.popleft()


def _evaluate_alone(entry_point: str, point: Mapping[str, Any]) -> Outcome:
    started = datetime.now(UTC)
    with pool(entry_point, 1) as executor:
        with without_main():
            future = executor.submit(evaluate_remotely, point)
        try:
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
        return Outcome(datetime.now(UTC), 0.0, {}, describe_error(error))


def run_sweep(
    deployed: Deployed, points: Sequence[Mapping[str, Any]], max_workers: int | None
) -> pd.DataFrame:
    """Evaluate and record; what ``Model.sweep`` promises."""
    inputs = [_checked(deployed, number, point) for number, point in enumerate(points)]
    hashes = [canonical_hash(encode(point, path="inputs")) for point in inputs]  # inputs_hash
    documents = _recorded(deployed, hashes)
    # A point that stands twice among the points is evaluated once.
    new = {
        digest: point
        for digest, point in zip(hashes, inputs, strict=True)
        if digest not in documents
    }
    recorder = Recorder(deployed.flow.project_name, context.results_db_service())
    run_id = str(uuid4())
    order = list(new)
    try:
        with progress_bar(len(new)) as advance:
            for number, outcome in _outcomes(deployed, list(new.values()), max_workers):
                if outcome is not None:
                    digest = order[number]
                    result = deployed.result(new[digest], outcome, run_id)
                    documents[digest] = recorder.add(result)
                    advance()
                recorder.flush_if_due()
    finally:
        # What is computed is kept, whatever stopped the sweep.
        recorder.flush()
    return frame([documents[digest] for digest in hashes], recorder.service.get_blob)


def _checked(deployed: Deployed, number: int, point: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return deployed.evaluator.check(point)
    except InvalidInputError as error:
        raise InvalidInputError(f"point {number}: {error}") from None


def _recorded(deployed: Deployed, hashes: Sequence[str]) -> dict[str, Any]:
    """Documents of the points that have succeeded before, by the hash of their inputs."""
    results_db = context.results_db_service()
    found: dict[str, Any] = {}
    wanted = list(dict.fromkeys(hashes))
    for start in range(0, len(wanted), _QUERIED):
        query = {
            "flow_id": deployed.flow.flow_id,
            "inputs_hash": {"$in": wanted[start : start + _QUERIED]},
            "status": "success",
        }
        for document in results_db.find(deployed.flow.project_name, query):
            found.setdefault(document["inputs_hash"], document)
    return found


def _outcomes(
    deployed: Deployed, points: Sequence[Mapping[str, Any]], max_workers: int | None
) -> Iterator[tuple[int, Outcome | None]]:
    entry_point = deployed.deployment.entry_point
    if not points:
        return iter(())
    if max_workers == 0:
        return evaluate_here(deployed.evaluator, points)
    if entry_point is None:
        warnings.warn(
            f"{deployed.deployment.model.description!r} is defined in a notebook or script, so "
            "other processes cannot load it: the sweep runs in this one. Put it into a module to "
            "use every core.",
            LUMEServicesWarning,
            stacklevel=4,
        )
        return evaluate_here(deployed.evaluator, points)
    return evaluate_in_pool(entry_point, points, worker_count(max_workers, len(points)))


@contextmanager
def progress_bar(points: int) -> Iterator[Callable[[], None]]:
    """Show a bar with the points done and the time left, on stderr; gives what advances it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Sweep", total=points)
        yield lambda: progress.advance(task)
