"""Keeping what a run logs, and keeping it from Prefect's server.

Prefect's run loggers hand their records to a handler that sends them to its API. A filter on the
loggers sees every record first: it copies the record to those who want it and, when the run is
inline and no API knows of it, marks the record as not to be sent (Prefect's own
``send_to_api=False``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from lume_services._log_record import LogRecord
from lume_services.engine._current import current_run
from lume_services.engine._prefect import (
    PREFECT_LOGGING_EXTRA_LOGGERS,
    TaskRunContext,
    keep_from_api,
)

__all__ = ["kept_in"]

_listeners: ContextVar[tuple[list[LogRecord], ...]] = ContextVar("lume_services_logs", default=())
_formatter = logging.Formatter()


@contextmanager
def kept_in(records: list[LogRecord]) -> Iterator[None]:
    """Append what is logged meanwhile, by this run and those it calls, to a list."""
    token = _listeners.set((*_listeners.get(), records))
    try:
        yield
    finally:
        _listeners.reset(token)


class _KeepWithRun(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if current_run.get() is not None:
            keep_from_api(record)
        if listeners := _listeners.get():
            context = TaskRunContext.get()
            kept = LogRecord(
                time=datetime.fromtimestamp(record.created, UTC),
                level=record.levelname,
                task=None if context is None else context.task.name,
                message=_message_of(record),
            )
            for records in listeners:
                records.append(kept)
        return True


def _message_of(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception:
        # The arguments do not fit. logging says so on the console; a filter must not raise.
        message = str(record.msg)
    if record.exc_info:
        message += "\n" + _formatter.formatException(record.exc_info)
    return message


def _install() -> None:
    # A filter of a logger, not of a handler: Prefect may set its handlers up again at any time.
    keep = _KeepWithRun()
    for name in (
        "prefect.flow_runs",
        "prefect.task_runs",
        *PREFECT_LOGGING_EXTRA_LOGGERS.value(),
    ):
        logging.getLogger(name).addFilter(keep)


_install()
