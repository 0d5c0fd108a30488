"""Many results as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

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
    dtypes; arrays and the like are objects. What a result does not have is missing.

    Args:
        results: Documents as the results database gives them, which is quickest, or results; not
            both.
        get_blob: Where large values of documents are read from, all of them. Without it a line of
            text about its type and shape stands for each.

    Raises:
        SerializationError: A value cannot be decoded.
    """
    import pandas as pd

    rows: list[Any] = list(results)
    columns: dict[str, Any] = {}
    stored = not (rows and isinstance(rows[0], Result))
    for part in ("inputs", "outputs"):
        mappings = [_stored(row, part, get_blob) if stored else getattr(row, part) for row in rows]
        for name in dict.fromkeys(chain.from_iterable(mappings)):
            values = [mapping.get(name) for mapping in mappings]
            if stored and not _PLAIN.issuperset(map(type, values)):
                values = [_decoded(value, get_blob) for value in values]
            columns[f"{part}.{decode_name(name) if stored else name}"] = _column(values)
    columns["date_modified"] = _times(_fields(rows, "date_modified"))
    text = pd.Series(["text"]).dtype  # object before pandas 3
    for name in ("flow_id", "version", "status", "id"):
        columns[name] = pd.Series(_fields(rows, name), dtype=text)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def _fields(rows: list[Any], name: str) -> list[Any]:
    if rows and isinstance(rows[0], Result):
        return [getattr(row, name) for row in rows]
    return [row.get("_id" if name == "id" else name) for row in rows]


def _stored(document: Mapping[str, Any], part: str, get_blob: GetBlob | None) -> dict[str, Any]:
    values: dict[str, Any] = document.get(part) or {}
    if "%kind" not in values:
        return values
    # Too large for a document even without its values.
    decoded = {} if get_blob is None else decode(values, get_blob)
    return {encode_name(name): encode(value) for name, value in decoded.items()}


def _decoded(value: Any, get_blob: GetBlob | None) -> Any:
    if get_blob is None and blob_digests(value):
        return summary(value)
    return decode(value, get_blob)


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
