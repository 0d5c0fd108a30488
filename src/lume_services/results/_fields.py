"""Types of fields that results and their provenance share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Milliseconds", "now"]


def _milliseconds(value: datetime) -> datetime:
    value = value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


Milliseconds = Annotated[datetime, AfterValidator(_milliseconds)]
"""UTC in milliseconds, as stored; without a time zone it is taken to be UTC."""


def now() -> datetime:
    """The time, as stored."""
    return _milliseconds(datetime.now(UTC))
