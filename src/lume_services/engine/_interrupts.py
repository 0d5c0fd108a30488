"""Stopping code that is running: time limits, and requests to stop."""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any

from lume_services._threads import call_in_thread

if TYPE_CHECKING:
    from lume_services.engine._runs import InlineRun

__all__ = ["Expired", "Stopped", "call_within", "is_left_behind"]

# Set when nobody waits any more for the thread, or a surrounding one, that code runs in.
_left_behind: ContextVar[tuple[threading.Event, ...]] = ContextVar("lume_left_behind", default=())

# Neither is an Exception: a user's ``except Exception`` must not keep a run alive.


class Expired(BaseException):
    """The time of a run is up. Raised inside its function; never seen by the caller of the run."""

    def __init__(self, run: InlineRun) -> None:
        super().__init__(f"{run.title} ran out of time")
        self.run = run


class Stopped(BaseException):
    """A run was asked to stop, or goes on for nobody after it ran out of time."""


def is_left_behind() -> bool:
    """Whether the current code was left behind when its time was up."""
    return any(left.is_set() for left in _left_behind.get())


def call_within(seconds: float | None, call: Callable[[], Any], run: InlineRun) -> Any:
    """Call a function that may take no longer than a time limit.

    In the main thread the function is interrupted, at the next Python instruction. Python cannot
    interrupt another thread from outside, so there the function is called in a thread of its own,
    which is left behind when time is up: what it returns is discarded, and it is stopped as soon
    as it calls a task or a flow.

    Args:
        seconds: The limit; none when None.
        call: The function.
        run: The run whose limit it is.

    Raises:
        Expired: The time was up.
    """
    if seconds is None:
        return call()
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        with _alarm(seconds, Expired(run)):
            return call()
    return _call_in_thread(seconds, call, run)


@contextmanager
def _alarm(seconds: float, expired: Expired) -> Iterator[None]:
    fired = over = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal fired
        if not over:
            fired = True
            raise expired

    outer_seconds, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    if 0 < outer_seconds <= seconds:
        # The limit of a surrounding flow (or of a test runner) comes first and covers this one.
        signal.setitimer(signal.ITIMER_REAL, outer_seconds)
        yield
        return
    outer_handler = signal.signal(signal.SIGALRM, interrupt)
    began = monotonic()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            over = True
        if fired:
            # The function caught even this and returned late: its value is not taken.
            raise expired
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer_handler)
        if outer_seconds:
            # A timer of zero seconds would be none at all.
            left = max(1e-6, outer_seconds - (monotonic() - began))
            signal.setitimer(signal.ITIMER_REAL, left)


def _call_in_thread(seconds: float, call: Callable[[], Any], run: InlineRun) -> Any:
    context = copy_context()
    left = threading.Event()
    context.run(_left_behind.set, (*_left_behind.get(), left))

    # A daemon: nobody waits for what was left behind, at the end of the program either.
    name = f"{run.title} (timed)"
    future = call_in_thread(partial(context.run, call), name=name, daemon=True)
    if concurrent.futures.wait([future], timeout=seconds).not_done:
        left.set()
        raise Expired(run)
    return future.result()
