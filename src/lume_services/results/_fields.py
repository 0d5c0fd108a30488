"""Types of fields that results and their provenance share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, StringConstraints

from lume_services._moments import as_stored
from lume_services.results._lazy import LazyDict

__all__ = ["ErrorRecord", "Identifier", "Milliseconds", "Values", "now"]

_ERROR = {"type", "message", "traceback"}


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, LazyDict):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError("a mapping of names to values is needed")


def _error(value: dict[str, str]) -> dict[str, str]:
    if value.keys() != _ERROR:
        raise ValueError(f"an error is a dict of {', '.join(sorted(_ERROR))}")
    return value


Identifier = Annotated[str, StringConstraints(max_length=1000)]
"""A name, or what else identifies something: it always stands in the document."""

Milliseconds = Annotated[datetime, AfterValidator(as_stored)]
"""UTC in milliseconds, as stored; without a time zone it is taken to be UTC."""


Values = Annotated[dict[str, Any], PlainValidator(_mapping), PlainSerializer(dict)]
"""Names and values. Pydantic does not look through them: they may be large, or not be read yet."""

ErrorRecord = Annotated[dict[str, str], AfterValidator(_error)]
"""``type``, ``message`` and ``traceback`` of an exception."""


def now() -> datetime:
    """The time, as stored."""
    return as_stored(datetime.now(UTC))
