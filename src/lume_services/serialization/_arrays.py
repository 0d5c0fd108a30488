"""numpy arrays as raw bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import SerializationError

if TYPE_CHECKING:
    from lume_services.serialization._blobs import GetBlob, PutBlob

__all__ = ["NDArrayCodec", "array_fields", "array_from", "is_storable"]

# numpy's own notation (numpy.dtype.str). Extended precision is left out as its layout depends on
# the machine, objects and records as they have no layout of their own.
_DTYPE = re.compile(
    r"\|b1|\|[iu]1|[<>]([iu][248]|f[248]|c8|c16|[mM]8(\[([1-9]\d{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
    r"|\|S\d{1,9}|[<>]U\d{1,9}"
)
_MAX_CODE_POINT = 0x10FFFF


def is_storable(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of this dtype are stored."""
    return _DTYPE.fullmatch(dtype.str) is not None


def array_fields(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as dtype, shape and data.

    ``dtype`` is numpy's text for it and records the byte order. ``data`` is little-endian in C
    order whatever the array's own layout; it is a view when the array is laid out like that.

    Raises:
        SerializationError: The dtype has no portable layout.
    """
    dtype = array.dtype
    if isinstance(array, np.ma.MaskedArray):
        raise SerializationError("a masked array loses its mask: store .filled(...) or both parts.")
    if not is_storable(dtype):
        raise SerializationError(
            f"an array of dtype {dtype} has no portable layout. Convert it with .astype(...) to "
            "bool, integer, float64, complex128, datetime64 or fixed-width text; store the fields "
            "of a structured array one by one, and other objects in a list or as a file."
        )
    fields = {"dtype": dtype.str, "shape": list(array.shape)}
    if not array.nbytes:
        return {**fields, "data": b""}
    plain = np.ascontiguousarray(array, dtype=dtype.newbyteorder("<"))
    return {**fields, "data": plain.reshape(-1).view(np.uint8).data}


def array_from(document: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The inverse of :func:`array_fields`: a writable array, on the buffer itself if that is.

    Raises:
        SerializationError: Dtype, shape and data do not fit together.
    """
    name, shape, data = document.get("dtype"), document.get("shape"), document.get("data")
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise SerializationError(f"{name!r:.200} is not a dtype that is stored.")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise SerializationError(f"{shape!r:.200} is not the shape of an array.")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise SerializationError(f"An array's data is of type {type(data).__name__}, not bytes.")
    dtype = np.dtype(name)
    size = math.prod(shape)
    if memoryview(data).nbytes != size * dtype.itemsize:
        raise SerializationError(
            f"An array of dtype {name} and shape {shape!r:.200} does not have "
            f"{memoryview(data).nbytes} bytes."
        )
    if not size:
        return np.empty(shape, dtype)
    array = np.frombuffer(data, np.uint8)
    if not array.flags.writeable:
        array = array.copy()
    if dtype.kind == "b" and array.max() > 1:
        raise SerializationError("An array of booleans holds bytes other than 0 and 1.")
    if dtype.kind == "U" and array.view("<u4").max() > _MAX_CODE_POINT:
        raise SerializationError("An array of text holds what is not Unicode.")
    array = array.view(dtype.newbyteorder("<"))
    if array.dtype != dtype:
        array = array.byteswap(inplace=True).view(dtype)
    return array.reshape(shape)


class NDArrayCodec:
    """numpy arrays of every dtype with a fixed, portable layout."""

    kind = "ndarray"

    def matches(self, value: object) -> bool:
        """See ``Codec``."""
        return isinstance(value, np.ndarray)

    def encode(self, value: Any, put_blob: PutBlob) -> Mapping[str, Any]:
        """See ``Codec``."""
        return array_fields(value)

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Any:
        """See ``Codec``."""
        return array_from(document)
