"""Arrays as HDF5 datasets, and names of things as HDF5 names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from lume_services.errors import SerializationError

if TYPE_CHECKING:
    import h5py

__all__ = ["decode_name", "encode_name", "read_array", "write_array"]

_DTYPE = "lume_dtype"
"""Attribute of a dataset of text: the dtype that the array had, ``<U8`` or ``|O``."""


def encode_name(name: Any, path: str) -> str:
    """The HDF5 name for a key: ``%`` and ``/`` as ``%25`` and ``%2F``, a lone dot as ``%2E``.

    Raises:
        SerializationError: It is not a string, empty, or holds NUL.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise SerializationError(
            f"{path or '/'}: the name {name!r} cannot stand in an HDF5 file. Names are strings, "
            "not empty, without NUL."
        )
    return "%2E" if name == "." else name.replace("%", "%25").replace("/", "%2F")


def decode_name(name: str) -> str:
    """The inverse of ``encode_name``."""
    return unquote(name)


def write_array(
    parent: h5py.Group, name: str, array: np.ndarray[Any, Any], path: str
) -> h5py.Dataset:
    """Write an array of any dtype that HDF5 holds, also of text, dates and time spans.

    Args:
        parent: The group to write into.
        name: Name of the new dataset.
        array: The array, of any shape.
        path: Where it stands in the whole, for messages.

    Raises:
        SerializationError: HDF5 cannot hold it; masked arrays and objects are refused.
    """
    import h5py

    if isinstance(array, np.ma.MaskedArray):
        raise SerializationError(f"{path}: a masked array loses its mask in HDF5. Use .filled().")
    dtype = array.dtype
    try:
        if dtype.kind in "mM":
            # HDF5 has no dates; h5py keeps numpy's own under a name that it knows again.
            return parent.create_dataset(name, data=array.astype(h5py.opaque_dtype(dtype)))
        if dtype.kind == "U" or (dtype.kind == "O" and all(type(i) is str for i in array.flat)):
            text = parent.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
            text.attrs[_DTYPE] = dtype.str
            return text
        return parent.create_dataset(name, data=array)
    except (TypeError, ValueError) as error:
        raise SerializationError(
            f"{path}: an array of dtype {dtype} cannot be stored in HDF5: {error}."
        ) from error


def read_array(dataset: h5py.Dataset) -> np.ndarray[Any, Any]:
    """Read a dataset as an array of the dtype that it was written from."""
    import h5py

    text = h5py.check_string_dtype(dataset.dtype)
    if text is None or text.length is not None:
        return np.asanyarray(dataset[...])
    array: np.ndarray[Any, Any] = np.asanyarray(dataset.asstr(errors="surrogateescape")[...])
    dtype = np.dtype(str(dataset.attrs.get(_DTYPE, "O")))
    return array.astype(dtype) if dtype.kind == "U" else array
