"""Locks between processes: files that are held for as long as they are open."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lume_services.services._atomic import make_folder

__all__ = ["alone", "shared", "unless_held"]


def shared(lock: Path) -> TextIO:
    """Hold a lock together with others; its folder is made when it is missing."""
    make_folder(lock.parent)
    held = lock.open("w")
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


@contextmanager
def alone(held: TextIO) -> Iterator[None]:
    """Have a lock alone.

    The programs that are started meanwhile have it too, and keep it when this process is killed:
    nobody begins anew what they are still writing to.
    """
    fcntl.flock(held, fcntl.LOCK_EX)
    os.set_inheritable(held.fileno(), True)
    try:
        yield
    finally:
        os.set_inheritable(held.fileno(), False)


@contextmanager
def unless_held(lock: Path) -> Iterator[bool]:
    """Whether no process holds a lock, nor will meanwhile."""
    try:
        file = lock.open("w")
    except PermissionError:  # somebody else's, in a folder for all
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
