"""Trying again what failed for a passing reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["retried"]

T = TypeVar("T")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
# Nobody need know of a pause that is shorter.
_SILENT_S = 2.0
_log = logging.getLogger(__name__)


def retried(
    operation: Callable[[], T],
    transient: Callable[[BaseException], bool],
    *,
    what: str,
    within_s: float,
) -> T:
    """Do something; again, with growing pauses, where a lost connection or the like ended it.

    Whoever waits is told by a warning in the log, once.

    Args:
        operation: What to do; it may be done several times.
        transient: Whether trying again after this exception can help.
        what: What is asked, for the log, without secrets.
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

    told: list[bool] = []

    def tell(state: RetryCallState) -> None:
        if not told and (state.seconds_since_start or 0) > _SILENT_S:
            told.append(True)
            _log.warning("%s does not answer; trying again for up to %g s.", what, within_s)

    retrying = Retrying(
        retry=retry_if_exception(transient),
        wait=wait_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S) + wait_random(0, _FIRST_PAUSE_S),
        stop=stop_before_delay(within_s - (time.monotonic() - began)),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(attempt)
