"""Trying again what failed for a passing reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["retried"]

T = TypeVar("T")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


def retried(
    operation: Callable[[], T], transient: Callable[[BaseException], bool], *, within_s: float
) -> T:
    """Do something; again, with growing pauses, where a lost connection or the like ended it.

    Args:
        operation: What to do; it may be done several times.
        transient: Whether trying again after this exception can help.
        within_s: Seconds after which the last exception is raised.
    """
    began = time.monotonic()
    try:
        return operation()
    except BaseException as error:
        if not transient(error):
            raise
        failed = [error]
    # Only now, as making one of these takes as long as asking a server.
    from tenacity import (
        Retrying,
        retry_if_exception,
        stop_before_delay,
        wait_exponential,
        wait_random,
    )

    def attempt() -> T:
        if failed:  # the first attempt has been made
            raise failed.pop()
        return operation()

    retrying = Retrying(
        retry=retry_if_exception(transient),
        wait=wait_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S) + wait_random(0, _FIRST_PAUSE_S),
        stop=stop_before_delay(within_s - (time.monotonic() - began)),
        reraise=True,
    )
    return retrying(attempt)
