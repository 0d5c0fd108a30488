"""Many results as one table."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    LUMEServicesWarning,
    MissingDependencyError,
    SerializationError,
)
from lume_services.results._lazy import LazyDict
from lume_services.results._original import REMEDY, is_original
from lume_services.results._summary import summary
from lume_services.results.generic import Result
from lume_services.serialization import (
    GetBlob,
    blob_digests,
    decode,
    decode_name,
    encode,
    encode_name,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["field", "frame"]

# What a value cannot be read for: its bytes are lost, or this process does not know its kind.
_LOST = (BlobNotFoundError, CorruptBlobError)
_UNREADABLE = (SerializationError, MissingDependencyError)
_NO_VALUES: dict[str, Any] = {"inputs": {}, "outputs": {}}
_PLAIN = frozenset({bool, int, float, str, type(None)})


def field(*names: str | int) -> str:
    """The path of a value in stored results, for queries and sorting.

    Names may hold dots, which separate the parts of a path: ``field("inputs", "XCOR.VAL")``
    writes them as they are stored.

    Args:
        names: A field of the result, then names of values; numbers are positions in lists.

    Raises:
        SerializationError: A name cannot be one of a stored value.
    """
    return ".".join(str(n) if isinstance(n, int) else encode_name(n) for n in names)


def frame(
    results: Iterable[Mapping[str, Any]] | Iterable[Result], get_blob: GetBlob | None = None
) -> pd.DataFrame:
    """A table with a row for each result.

    Columns are ``inputs.<name>`` and ``outputs.<name>`` as they come, then ``date_modified``
    (UTC), ``flow_id``, ``version``, ``status`` and ``id``. Numbers, booleans and text have their
    dtypes; arrays and the like are objects. What a result does not have is missing. A line of text
    about its type and shape stands for a value that cannot be decoded here (its package is not
    installed), or whose blob is missing or damaged, of which a ``LUMEServicesWarning`` tells. So
    it does of results that LUME-services 0.x stored: their values are missing.

    Args:
        results: Documents as the results database gives them, which is quickest, or results; not
            both.
        get_blob: Where large values of documents are read from, all of them. Without it such a
            line stands for each.
    """
    import pandas as pd

    rows: list[Any] = list(results)
    columns: dict[str, Any] = {}
    stored = not (rows and isinstance(rows[0], Result))
    if stored and (former := len(list(filter(is_original, rows)))):
        rows = [row if not is_original(row) else {**row, **_NO_VALUES} for row in rows]
        warnings.warn(
            f"{former} of the results were stored by LUME-services 0.x, and are listed without "
            f"their values. Rewrite them once: {REMEDY}",
            LUMEServicesWarning,
            stacklevel=2,
        )
    for part in ("inputs", "outputs"):
        reader = _Reader(part, get_blob)
        mappings = [reader.stored(row) if stored else getattr(row, part) for row in rows]
        for name in dict.fromkeys(chain.from_iterable(mappings)):
            shown = decode_name(name) if stored else name
            if stored:
                values = [mapping.get(name) for mapping in mappings]
                if not _PLAIN.issuperset(map(type, values)):
                    values = [
                        reader.decoded(value, shown, row.get("_id"))
                        for value, row in zip(values, rows, strict=True)
                    ]
            else:
                values = [
                    reader.loaded(mapping, name, row)
                    for mapping, row in zip(mappings, rows, strict=True)
                ]
            columns[f"{part}.{shown}"] = _column(values)
    columns["date_modified"] = _times(_fields(rows, "date_modified"))
    text = pd.Series(["text"]).dtype  # object before pandas 3
    for name in ("flow_id", "version", "status", "id"):
        columns[name] = pd.Series(_fields(rows, name), dtype=text)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def _fields(rows: list[Any], name: str) -> list[Any]:
    if rows and isinstance(rows[0], Result):
        return [getattr(row, name) for row in rows]
    return [row.get("_id" if name == "id" else name) for row in rows]


class _Reader:
    """Reads the inputs, or the outputs, of results; a value that cannot be is shown in a line."""

    def __init__(self, part: str, get_blob: GetBlob | None) -> None:
        self._part = part
        self._get_blob = get_blob

    def stored(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The values in a document by name, not decoded."""
        values: dict[str, Any] = document.get(self._part) or {}
        if "%kind" not in values:
            return values
        # Too large for a document even without its values.
        if self._get_blob is None:
            return {}
        try:
            decoded = decode(values, self._get_blob)
        except _LOST as error:
            self._warn(error, "", document.get("_id"))
            return {}
        return {encode_name(name): encode(value) for name, value in decoded.items()}

    def decoded(self, value: Any, name: str, result_id: str | None) -> Any:
        """A value of a document; its summary where it cannot be decoded."""
        if self._get_blob is None and blob_digests(value):
            return summary(value)
        try:
            return decode(value, self._get_blob)
        except _LOST as error:
            self._warn(error, name, result_id)
        except _UNREADABLE:
            pass
        return summary(value)

    def loaded(self, values: Mapping[str, Any], name: str, result: Result) -> Any:
        """A value of a result, likewise."""
        try:
            return values.get(name)
        except _LOST as error:
            self._warn(error, name, result.id)
        except _UNREADABLE:
            pass
        return summary(values._waiting[name]) if isinstance(values, LazyDict) else None

    def _warn(self, error: Exception, name: str, result_id: str | None) -> None:
        value = f"{self._part}.{name}".rstrip(".")
        warnings.warn(
            f"{value} of result {result_id} cannot be read: {error}",
            LUMEServicesWarning,
            stacklevel=4,
        )


def _column(values: list[Any]) -> Any:
    """A column of the dtype that its values have in common."""
    import pandas as pd

    kinds = set(map(type, values))
    if kinds == {float}:
        return np.array(values)
    if kinds <= {datetime, type(None)} and datetime in kinds:
        return _times(values)
    # pandas would look into arrays and lists.
    return pd.Series(values, dtype=None if kinds <= _PLAIN | {complex} else object)


def _times(values: Any) -> Any:
    import pandas as pd

    return pd.Series(pd.to_datetime(values, utc=True)).astype("datetime64[ms, UTC]")
