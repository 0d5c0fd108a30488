"""Processes that do something at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from threading import Barrier

_barrier: Barrier


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes can wait for each other."""
    context = get_context("spawn")
    barrier = context.Barrier(processes, timeout=60)
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(barrier,)
    ) as started:
        yield started


def wait() -> None:
    """Wait, in a process of the pool, for all the others."""
    _barrier.wait()


def _start(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
