"""The flows that the conformance suite of backends runs; jobs import them from here."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import numpy as np
from prefect import get_run_logger

from lume_services.flows import flow, task

_WAIT: Final = 300.0


@task
def _add(x: float, y: float) -> float:
    get_run_logger().warning("adding %s and %s", x, y)
    return x + y


@task
def _divide(x: float, y: float) -> float:
    return x / y


@flow
def _compute(x: float, y: float = 2.0) -> float:
    total = _add(x, y)
    return _divide(_add(total, 1.0), y)


@flow
def _give_back(value: Any) -> Any:
    return value


@flow(timeout_seconds=0.2)
def _too_slow() -> None:
    time.sleep(_WAIT)


@flow
def _keep_busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _pause()


@task
def _pause() -> None:
    time.sleep(0.01)


@task(retries=2)
def _third_time(counter: list[int]) -> int:
    counter.append(1)
    if len(counter) < 3:
        raise OSError(f"not at attempt {len(counter)}")
    return len(counter)


@flow
def _tries_again() -> int:
    return _third_time([])


@flow
def _raises(error: str, message: str) -> None:
    _raise_it(error, message)


def _raise_it(error: str, message: str) -> None:
    raise {"ValueError": ValueError, "KeyError": KeyError, "own": _OwnError}[error](message)


class _OwnError(Exception):
    pass


@flow
def _variable(name: str) -> str | None:
    return os.environ.get(name)


@flow
def _large(megabytes: int) -> Any:
    return np.full(megabytes << 17, 1.5)
