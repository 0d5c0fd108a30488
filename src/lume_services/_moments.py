"""Moments as they are stored: UTC, in whole milliseconds, rounded down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["as_stored", "from_milliseconds", "milliseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def as_stored(moment: datetime) -> datetime:
    """The moment in UTC; without a time zone it is taken to be UTC.

    Raises:
        ValueError: It has no time in UTC: pandas' NaT, and what would be before year 1 or after
            9999.
    """
    try:
        # Not astimezone() alone: pandas' timestamps have more digits, and its NaT none.
        exact = datetime(
            moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second,
            moment.microsecond, moment.tzinfo or UTC, fold=moment.fold,
        ).astimezone(UTC)  # fmt: skip
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{moment!r} is not a time in UTC ({error})") from error
    return exact.replace(microsecond=exact.microsecond // 1000 * 1000)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970; without a time zone it is taken to be UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(number: int) -> datetime:
    """The inverse of :func:`milliseconds`.

    Raises:
        OverflowError: It is before year 1 or after 9999.
    """
    return _EPOCH + number * _MILLISECOND
