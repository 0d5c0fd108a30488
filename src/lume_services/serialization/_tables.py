"""pandas frames and series as Arrow IPC streams.

Format: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format, one stream, with
pandas' own metadata in the schema. That metadata names the versions of the libraries that wrote
it; they are left out, or the same frame would have another hash after an upgrade.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lume_services.errors import SerializationError

if TYPE_CHECKING:
    import pandas as pd

    from lume_services.serialization._blobs import GetBlob, PutBlob

__all__ = ["FrameCodec", "SeriesCodec", "from_arrow", "to_arrow"]


class FrameCodec:
    """pandas frames: columns, index, names and dtypes."""

    kind = "frame"

    def matches(self, value: object) -> bool:
        """See ``Codec``."""
        return _is_a(value, "DataFrame")

    def encode(self, value: Any, put_blob: PutBlob) -> Mapping[str, Any]:
        """See ``Codec``."""
        return to_arrow(value)

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Any:
        """See ``Codec``."""
        return from_arrow(document)


class SeriesCodec:
    """pandas series, as frames of one column."""

    kind = "series"

    def matches(self, value: object) -> bool:
        """See ``Codec``."""
        return _is_a(value, "Series")

    def encode(self, value: Any, put_blob: PutBlob) -> Mapping[str, Any]:
        """See ``Codec``."""
        return {"named": value.name is not None, **to_arrow(value.to_frame())}

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Any:
        """See ``Codec``."""
        frame = from_arrow(document)
        if len(frame.columns) != 1:
            raise SerializationError(f"A stored series has {len(frame.columns)} columns.")
        series = frame.iloc[:, 0]
        return series if document["named"] else series.rename(None)


def _is_a(value: object, name: str) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, getattr(pandas, name, ()))


def to_arrow(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame as ``data``, a buffer, and ``objects``, what Arrow does not tell of its columns.

    Raises:
        SerializationError: Arrow cannot hold it, or would give it back as something else.
    """
    import pyarrow as pa

    try:
        with warnings.catch_warnings():
            # pandas only warns of names of mixed types, which do not come back.
            warnings.simplefilter("error", UserWarning)
            table = pa.Table.from_pandas(frame)
        objects = _objects(frame, table)
        _compare(frame, _to_pandas(table.slice(0, 0), objects))
        metadata = json.loads(table.schema.metadata[b"pandas"])
    except (pa.ArrowException, ValueError, TypeError, OverflowError, UserWarning) as error:
        raise SerializationError(
            f"a pandas object cannot be stored as Arrow ({'; '.join(map(str, error.args))}). "
            "Convert the column, or store it apart as an array."
        ) from error
    metadata.pop("creator", None)
    metadata["pandas_version"] = ""
    # The stream's schema, not the table's: a table that it is replaced in forgets how many rows it
    # has when it has no columns.
    schema = table.schema.with_metadata({b"pandas": json.dumps(metadata, sort_keys=True)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_table(table)
    return {"objects": objects, "data": memoryview(sink.getvalue())}


def from_arrow(document: Mapping[str, Any]) -> pd.DataFrame:
    """The inverse of :func:`to_arrow`; raises anything when the fields are not its own."""
    import pyarrow as pa

    table = pa.ipc.open_stream(pa.py_buffer(document["data"])).read_all()
    table.validate(full=True)
    # Some columns would be views of Arrow's memory, which cannot be written to.
    return _to_pandas(table, document["objects"]).copy()


def _objects(frame: pd.DataFrame, table: Any) -> list[int]:
    """Positions in the table of columns of Python objects, the index being the last.

    pandas 3 reads text as its own dtype, so these need to be made objects again.
    """
    import pyarrow.types as arrow

    dtypes = [*frame.dtypes, *([] if frame.index.nlevels > 1 else [frame.index.dtype])]
    objects = [position for position, dtype in enumerate(dtypes) if dtype == "object"]
    for position in objects:
        kind = table.schema.types[position]
        is_kept = (arrow.is_string, arrow.is_large_string, arrow.is_binary, arrow.is_null)
        if not any(test(kind) for test in is_kept):
            raise TypeError(
                f"column {table.column_names[position]!r} holds Python objects other than text"
            )
    return objects


def _to_pandas(table: Any, objects: list[int]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas()
    for position in objects:
        values = table.column(position).to_pylist()
        if position < len(frame.columns):
            # As a series: pandas would look for a better dtype of anything else.
            column: Any = pd.Series(values, frame.index, dtype=object)
            frame.isetitem(position, column)
        else:
            frame.index = pd.Index(values, dtype=object, name=frame.index.name)
    return frame


def _compare(frame: pd.DataFrame, back: pd.DataFrame) -> None:
    """Refuse what Arrow would hold, and give back as something else."""
    if not back.columns.equals(frame.columns):
        raise ValueError("the names of the columns do not come back as they are")
    for name, before, after in zip(frame.columns, frame.dtypes, back.dtypes, strict=True):
        if before != after:
            raise TypeError(f"column {name!r} of dtype {before} comes back as {after}")
    before, after = _levels(frame), _levels(back)
    if before != after:
        raise TypeError(f"an index of dtype {before} comes back as {after}")


def _levels(frame: pd.DataFrame) -> list[Any]:
    index: Any = frame.index
    return [index.dtype] if index.nlevels == 1 else list(index.dtypes)
