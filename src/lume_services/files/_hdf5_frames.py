"""Data frames as HDF5 groups.

Columns of numbers and of text are datasets under their own names, for any HDF5 tool to read. What
HDF5 has no words for (the index, categories, time zones, missing text) is one more dataset, the
bytes of an Arrow IPC stream (https://arrow.apache.org/docs/format/Columnar.html).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import SerializationError
from lume_services.files._hdf5_arrays import decode_name, encode_name, read_array, write_array
from lume_services.serialization._tables import from_arrow, to_arrow

if TYPE_CHECKING:
    import h5py
    import pandas as pd

__all__ = ["read_frame", "read_series", "write_frame", "write_series"]

# Encoded names hold no % but in %25, %2F and %2E.
_REST = "%rest"
_OBJECTS = "lume_objects"
_POSITION = "lume_position"
_COLUMN_DTYPE = "lume_column_dtype"
_NAME = "lume_name"
_TEXT_DTYPES = ("object", "str", "string")


def write_frame(group: h5py.Group, frame: pd.DataFrame, path: str) -> None:
    """Write a frame into an empty group.

    Raises:
        SerializationError: Two columns have the same name, or one holds what Arrow cannot.
    """
    rest = []
    for position, label in enumerate(frame.columns):
        column = frame.iloc[:, position]
        array = _as_array(column) if isinstance(label, str) and label else None
        if array is None:
            rest.append(position)
            continue
        name = encode_name(label, path)
        if name in group:
            raise SerializationError(f"{path or '/'}: two columns are named {label!r}.")
        dataset = write_array(group, name, array, f"{path}/{label}")
        dataset.attrs[_POSITION] = position
        dataset.attrs[_COLUMN_DTYPE] = str(column.dtype)
    _write_rest(group, frame.iloc[:, rest], path)


def read_frame(group: h5py.Group) -> pd.DataFrame:
    """Read a frame that ``write_frame`` wrote."""
    import pandas as pd

    rest = _read_rest(group)
    datasets = {int(group[name].attrs[_POSITION]): name for name in group if name != _REST}
    if not datasets:
        return rest
    remaining = iter(range(rest.shape[1]))
    labels: list[Any] = []
    columns: list[Any] = []
    for position in range(len(datasets) + rest.shape[1]):
        if position in datasets:
            labels.append(decode_name(datasets[position]))
            columns.append(_as_column(group[datasets[position]], rest.index))
        else:
            index = next(remaining)
            labels.append(rest.columns[index])
            columns.append(rest.iloc[:, index])
    frame = pd.DataFrame(dict(enumerate(columns)), index=rest.index)
    frame.columns = pd.Index(labels, name=rest.columns.name)
    frame.attrs = rest.attrs
    return frame


def write_series(group: h5py.Group, series: pd.Series[Any], path: str) -> None:
    """Write a series into an empty group.

    Raises:
        SerializationError: Its name is not a string or number, or Arrow cannot hold its values.
    """
    name = series.name.item() if isinstance(series.name, np.generic) else series.name
    if not isinstance(name, (str, int, float, type(None))):
        raise SerializationError(
            f"{path or '/'}: the name {name!r} of the series cannot stand in an HDF5 file. Names "
            "are strings or numbers."
        )
    group.attrs[_NAME] = json.dumps(name)
    write_frame(group, series.to_frame("values"), path)


def read_series(group: h5py.Group) -> pd.Series[Any]:
    """Read a series that ``write_series`` wrote."""
    return read_frame(group).iloc[:, 0].rename(json.loads(group.attrs[_NAME]))


def _as_array(column: pd.Series[Any]) -> np.ndarray[Any, Any] | None:
    """The column as an array that HDF5 holds as it is; None when there is no such."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufc":
        return column.to_numpy()
    if str(column.dtype) in _TEXT_DTYPES:
        array = column.to_numpy(dtype=object)
        if all(type(text) is str and "\0" not in text for text in array):
            return array
    return None


def _as_column(dataset: h5py.Dataset, index: pd.Index[Any]) -> pd.Series[Any]:
    import pandas as pd

    array = read_array(dataset)
    dtype = str(dataset.attrs[_COLUMN_DTYPE])
    return pd.Series(array, index=index, dtype=dtype if dtype in _TEXT_DTYPES else array.dtype)


def _write_rest(group: h5py.Group, frame: pd.DataFrame, path: str) -> None:
    try:
        fields = to_arrow(frame)
    except SerializationError as error:
        raise SerializationError(f"{path or '/'}: {error}") from error
    group[_REST] = np.frombuffer(fields["data"], dtype=np.uint8)
    group[_REST].attrs[_OBJECTS] = np.array(fields["objects"], dtype=np.int64)


def _read_rest(group: h5py.Group) -> pd.DataFrame:
    rest = group[_REST]
    return from_arrow({"data": rest[()], "objects": rest.attrs[_OBJECTS].tolist()})
