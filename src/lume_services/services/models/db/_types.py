"""Types of columns that mean the same in every database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, LargeBinary, Text
from sqlalchemy.dialects.mysql import LONGTEXT, MEDIUMBLOB
from sqlalchemy.types import TypeDecorator

__all__ = ["BYTES", "JSONText", "UTCDateTime"]

BYTES = LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
"""Bytes; a plain BLOB ends at 64 KiB on MySQL and MariaDB."""


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; databases that keep no time zone keep the UTC time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a naive value is taken as UTC."""
        return None if value is None else _utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the time zone back."""
        return None if value is None else _utc(value)


class JSONText(TypeDecorator[dict[str, Any]]):
    """A JSON object as text: databases' own JSON types know no infinity, which ranges hold."""

    # A plain TEXT ends at 64 KiB on MySQL and MariaDB.
    impl = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        """Write JSON."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        """Read JSON."""
        return None if value is None else json.loads(value)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
