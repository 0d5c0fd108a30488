"""Arrays come back bit for bit, with dtype, shape and byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lume_services.serialization import canonical_hash, decode, encode, hash_only

WHOLE = npst.integer_dtypes(endianness="?") | npst.unsigned_integer_dtypes(endianness="?")
DTYPES = (
    npst.boolean_dtypes()
    | WHOLE
    | npst.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | npst.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | npst.datetime64_dtypes(endianness="?")
    | npst.timedelta64_dtypes(endianness="?")
    | npst.byte_string_dtypes(max_len=5)
    | npst.unicode_string_dtypes(endianness="?", max_len=5)
)
ARRAYS = npst.arrays(DTYPES, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
LAYOUTS = st.sampled_from(
    [
        lambda array: array,
        np.asfortranarray,
        lambda array: array.T,
        lambda array: array[::-1] if array.ndim else array,
        lambda array: np.broadcast_to(array, (2, *array.shape)),
    ]
)


def bits(array: np.ndarray[Any, Any]) -> bytes:
    return array.tobytes()


def check(before: np.ndarray[Any, Any], after: Any) -> None:
    assert type(after) is np.ndarray
    assert after.dtype.str == before.dtype.str
    assert after.shape == before.shape
    assert bits(after) == bits(before)
    assert after.flags.writeable


@given(ARRAYS, LAYOUTS)
def test_arrays_come_back_bit_for_bit(array: Any, layout: Any) -> None:
    array = layout(array)
    check(array, decode(encode(array)))


@given(ARRAYS, LAYOUTS)
def test_the_hash_does_not_depend_on_the_layout(array: Any, layout: Any) -> None:
    array = layout(array)
    assert canonical_hash(encode(array)) == canonical_hash(encode(array.copy(order="C")))


@given(ARRAYS)
def test_the_hash_does_not_depend_on_where_the_bytes_are(array: Any) -> None:
    inline = encode({"x": array})
    data = inline["x"]["data"]
    blobs = {hash_only(data): bytearray(data)}
    apart = {"x": {**inline["x"], "data": {"%blob": hash_only(data), "size": len(data)}}}
    assert canonical_hash(apart) == canonical_hash(inline)
    check(array, decode(apart, blobs.__getitem__)["x"])


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<i2", ">i2", "<U3", ">U3", ">M8[ns]"])
def test_data_are_little_endian_whatever_the_array_is(dtype: str) -> None:
    array = np.array([1, 2, 3]).astype("i8").astype(dtype)
    document = encode(array)
    assert document["dtype"] == dtype
    assert document["data"] == array.astype(array.dtype.newbyteorder("<")).tobytes()


def test_the_units_of_times_are_kept() -> None:
    for unit in ["Y", "D", "ns", "25s", "as"]:
        array = np.array([1, "NaT"], dtype=f"m8[{unit}]")
        check(array, decode(encode(array)))


def test_numpy_times_keep_their_resolution() -> None:
    stored = decode(encode(np.datetime64("2026-10-01T00:00:00.123456789")))
    check(np.array("2026-10-01T00:00:00.123456789", dtype="M8[ns]"), stored)


def test_what_an_array_is_computed_from_is_not_kept_alive_by_its_copy() -> None:
    array = np.arange(4.0)
    stored = decode(encode(array))
    stored[0] = 9.0
    assert array[0] == 0.0
