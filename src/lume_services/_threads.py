"""Calls on other threads.

The threads are plain ones: Python closes the pools of ``concurrent.futures`` when the main thread
ends, and runs may go on after that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["call_in_thread", "fulfil"]


def call_in_thread(call: Callable[[], Any], *, name: str, daemon: bool = False) -> Future[Any]:
    """Call a function on a thread of its own.

    Args:
        call: The function.
        name: Name of the thread.
        daemon: Whether the end of the program does not wait for it.
    """
    future: Future[Any] = Future()
    threading.Thread(target=fulfil, args=(future, call), name=name, daemon=daemon).start()
    return future


def fulfil(future: Future[Any], call: Callable[[], Any]) -> None:
    """Call a function for the sake of a future, unless that was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # raised again by whoever waits for the future
        future.set_exception(error)
