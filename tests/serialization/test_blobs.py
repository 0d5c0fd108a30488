"""What is large goes beside the document, in bounded memory, and does not show in the hash."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from lume_services.errors import BlobNotFoundError, SerializationError
from lume_services.serialization import (
    BLOB_THRESHOLD,
    blob_digests,
    canonical_hash,
    decode,
    encode,
    fit,
    hash_only,
)


class Blobs(dict[str, bytearray]):
    """A store of blobs."""

    def put(self, buffer: Any) -> str:
        digest = hash_only(buffer)
        self[digest] = bytearray(buffer)
        return digest

    def get(self, digest: str) -> bytearray:  # as a store has it
        if digest not in self:
            raise BlobNotFoundError(digest)
        return self[digest]


def size(document: Any) -> int:
    """The length of a document in bytes, at least."""
    if isinstance(document, dict):
        return sum(len(name) + size(member) for name, member in document.items())
    if isinstance(document, list):
        return sum(map(size, document))
    return len(document) if isinstance(document, (bytes, str)) else 8


LARGE = {
    "array": np.zeros(BLOB_THRESHOLD // 8 + 1),
    "bytes": b"\xff" * (BLOB_THRESHOLD + 1),
    "text": "x" * (BLOB_THRESHOLD + 1),
    "unicode": "é" * (BLOB_THRESHOLD // 2 + 1),
    "list": {"inner": [0.5] * 120_000},
    "dict": {"inner": {f"name {i}".ljust(100): float(i) for i in range(12_000)}},
    "mixed": {"inner": [[b"\x00\xff" * 99, "é", None, 2**70, float(i)] for i in range(5_000)]},
    "arrays in a list": {"inner": [np.full(10_000, i) for i in range(30)]},
    "small arrays in a list": {"inner": [np.full(20, i) for i in range(5_000)]},
    "lists in lists": {"inner": [[float(i)] * 1000 for i in range(200)]},
    "many middling": {f"x{i}": np.full(100_000, i) for i in range(20)},
    "many texts": {f"x{i}": str(i) * 300_000 for i in range(20)},
    "many names": {f"{i} of many".ljust(1000): float(i) for i in range(9000)},
    "at the top": [str(i).ljust(1000) for i in range(4500)],
}


def stored(value: Any, put: Any = hash_only) -> Any:
    """A value as it stands in a document, under a name."""
    return fit({"value": encode(value, put)}, put)["value"]


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool((one == other).all()) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_large_values_leave_a_small_document_and_come_back(value: Any) -> None:
    blobs = Blobs()
    document = stored(value, blobs.put)
    assert size(document) < 8_000_000
    assert blobs
    assert blob_digests(document) == set(blobs)
    assert stored(value) == document, "hash_only must make the very same document"
    assert equal(decode(document, blobs.get), value)


def test_up_to_the_threshold_bytes_stay_in_the_document() -> None:
    blobs = Blobs()
    document = encode({"array": np.zeros(BLOB_THRESHOLD, "u1"), "bytes": b"x" * 9}, blobs.put)
    assert not blobs
    assert len(document["array"]["data"]) == BLOB_THRESHOLD
    assert document["bytes"] == b"x" * 9


def test_bytes_and_their_reference_stand_in_one_place() -> None:
    data = b"\xff" * (BLOB_THRESHOLD + 1)
    document = encode(data)
    assert document == {"%blob": hash_only(data), "size": len(data)}
    assert canonical_hash(document) == canonical_hash(data)


def test_names_of_a_large_value_stay_in_sight() -> None:
    """Its small members can be queried, and its large ones loaded one by one."""
    value = {"q": 1.5, **LARGE["many middling"]}
    document = stored(value)
    assert document.keys() == value.keys()
    assert document["q"] == 1.5
    assert {document[name]["%kind"] for name in LARGE["many middling"]} == {"ndarray"}


def test_a_hash_depends_neither_on_the_order_of_names_nor_on_what_is_offloaded() -> None:
    for value in (LARGE["many texts"], LARGE["many middling"], LARGE["dict"]):
        backwards = {name: value[name] for name in reversed(value)}
        assert canonical_hash(encode(backwards)) == canonical_hash(encode(value))
        blobs = Blobs()
        loaded = decode(stored(backwards, blobs.put), blobs.get)
        assert canonical_hash(encode(loaded)) == canonical_hash(encode(value))


def test_equal_arrays_are_one_blob() -> None:
    blobs = Blobs()
    image = np.ones((1000, 1000))
    encode({"a": image, "b": image.copy()}, blobs.put)
    assert len(blobs) == 1


def test_a_contiguous_array_is_not_copied_to_be_stored() -> None:
    array = np.zeros(12_500_000)
    tracemalloc.start()
    try:
        document = encode({"array": array})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes / 10
    assert document["array"]["data"]["size"] == array.nbytes


def test_a_writable_buffer_is_used_as_it_is() -> None:
    blobs = Blobs()
    document = encode(np.arange(1_000_000), blobs.put)
    (buffer,) = blobs.values()
    array = decode(document, blobs.get)
    array[0] = 7
    assert buffer[0] == 7


@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_a_buffer_that_is_not_writable_is_left_alone(dtype: str) -> None:
    array = np.arange(1_000_000).astype(dtype)
    blobs: dict[str, bytes] = {}

    def put(buffer: Any) -> str:
        return blobs.setdefault(hash_only(buffer), bytes(buffer)) and hash_only(buffer)

    document = encode(array, put)
    loaded = decode(document, blobs.__getitem__)
    loaded[0] = 7
    assert decode(document, blobs.__getitem__)[0] == 0


def test_a_store_that_lacks_the_blob_says_so_itself() -> None:
    with pytest.raises(BlobNotFoundError):
        decode(encode(np.zeros(1_000_000)), Blobs().get)


def test_without_a_store_a_blob_cannot_be_read() -> None:
    with pytest.raises(SerializationError, match="get_blob"):
        decode(encode(np.zeros(1_000_000)))


def test_an_error_of_the_store_arrives_unchanged() -> None:
    def full(_: Any) -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        encode({"a": np.zeros(1_000_000)}, full)
