"""A line of a run's log, as the engine keeps it and backends give it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["LogRecord"]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line that a run logged.

    Attributes:
        time: When, in UTC.
        level: Python's name of its level, such as ``INFO``.
        task: Name of the task that logged it; None when the flow itself did.
        message: The text, with the traceback when an exception was logged.
    """

    time: datetime
    level: str
    task: str | None
    message: str
