"""Trying again what failed for a passing reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenacity import Retrying

__all__ = ["retrying"]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


def retrying(transient: Callable[[BaseException], bool], *, within_s: float) -> Retrying:
    """A caller that tries again, with growing pauses, what a lost connection or the like ended.

    Use it as ``retrying(…)(function, *args)``; only what may be done twice belongs there.

    Args:
        transient: Whether trying again after this exception can help.
        within_s: Seconds after which the last exception is raised.
    """
    from tenacity import (
        Retrying,
        retry_if_exception,
        stop_before_delay,
        wait_exponential,
        wait_random,
    )

    return Retrying(
        retry=retry_if_exception(transient),
        wait=wait_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S) + wait_random(0, _FIRST_PAUSE_S),
        stop=stop_before_delay(within_s),
        reraise=True,
    )
