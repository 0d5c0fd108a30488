"""Documents stay under 8 MB in BSON, whatever is put in."""

from __future__ import annotations

from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lume_services.errors import SerializationError
from lume_services.serialization import (
    DOCUMENT_LIMIT,
    blob_digests,
    canonical_hash,
    decode,
    document_size,
    encode,
    fit,
    hash_only,
    unfit,
)
from lume_services.testing.strategies import documents
from tests.equality import equal


class Blobs(dict[str, bytes]):
    """A store of blobs."""

    def put(self, buffer: Any) -> str:
        digest = hash_only(buffer)
        self[digest] = bytes(buffer)
        return digest


def deep(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = {"deeper": value} if level % 2 else [value]
    return value


MB = 1_000_000
HUGE: dict[str, dict[str, Any]] = {
    "100 arrays of 900 KB": {f"a{i}": np.full(112_500, i * 0.5) for i in range(100)},
    "in a list": {"a": [np.full(112_500, i * 0.5) for i in range(100)]},
    "12 MB of names": {str(i).ljust(1200): None for i in range(10_000)},
    "one name of 10 MB": {"n" * 10 * MB: 1.5},
    "names in Greek": {"ω" * 2 * MB + str(i): 1.5 for i in range(4)},
    "500,000 empty texts": {"a": [""] * 500_000},
    "a list of empty lists": {"a": [[]] * 100_000},
    "500,000 numbers": {"a": [0.5] * 500_000},
    "30 lists of 30,000 numbers": {f"a{i}": [i + 0.5] * 30_000 for i in range(30)},
    "20 texts of 600 KB in Greek": {f"a{i}": "ω" * 300_000 for i in range(20)},
    "deep": {f"a{i}": deep(np.full(112_500, i * 0.5), 60) for i in range(20)},
    "deep lists": {f"a{i}": deep([i * 0.5] * 40_000, 60) for i in range(20)},
    "wide": {
        f"a{i}": {f"b{j}": np.full(9_000, i + j / 50) for j in range(50)} for i in range(9)
    },
    "5,000 arrays of 5 KB": {f"a{i}": np.full(625, i * 0.5) for i in range(5_000)},
    "bytes": {f"a{i}": bytes([i]) * MB for i in range(20)},
    "datetimes of numpy": {f"a{i}": np.full(100_000, i, "M8[ns]") for i in range(20)},
}  # fmt: skip


def back(document: dict[str, Any], blobs: Blobs) -> dict[str, Any]:
    return {name: decode(value, blobs.__getitem__) for name, value in document.items()}


@pytest.mark.parametrize("values", HUGE.values(), ids=HUGE)
def test_no_value_makes_a_document_too_large(values: dict[str, Any]) -> None:
    blobs = Blobs()
    fields = {"values": encode(values, blobs.put), "beside": 1.5}
    before = canonical_hash(fields)
    document = fit(fields, blobs.put)
    assert len(bson.encode(document)) < DOCUMENT_LIMIT
    assert blob_digests(document) <= set(blobs)
    assert document["beside"] == 1.5
    loaded = back(document, blobs)["values"]
    assert equal(loaded, values)
    assert canonical_hash(unfit(document, blobs.__getitem__)) == before


MANY: dict[str, dict[str, Any]] = {
    "100,000 short names": {f"n{i}": i * 0.5 for i in range(100_000)},
    "300,000 short names": {f"n{i}": i * 0.5 for i in range(300_000)},
    "30,000 arrays of 200 bytes": {f"a{i}": np.full(25, i * 0.5) for i in range(30_000)},
}


@pytest.mark.slow
@pytest.mark.parametrize("values", MANY.values(), ids=MANY)
def test_nor_do_very_many(values: dict[str, Any]) -> None:
    test_no_value_makes_a_document_too_large(values)


@pytest.mark.slow
@pytest.mark.parametrize("dicts", [1, 8])
def test_nor_do_40_000_arrays(dicts: int) -> None:
    """Their references alone would be too much."""
    values = {
        f"d{k}": {f"a{i}": np.full(600, i + k / 8) for i in range(40_000 // dicts)}
        for k in range(dicts)
    }
    blobs = Blobs()
    fields = values["d0"] if dicts == 1 else values
    document = fit({"values": encode(fields, blobs.put)}, blobs.put)
    assert len(bson.encode(document)) < DOCUMENT_LIMIT
    assert equal(back(document, blobs)["values"], fields)


def test_nor_do_many_fields() -> None:
    blobs = Blobs()
    values = {f"field {i}": np.full(112_500, i * 0.5) for i in range(60)}
    fields = {name: encode(value, blobs.put) for name, value in values.items()}
    document = fit(fields, blobs.put)
    assert len(bson.encode(document)) < DOCUMENT_LIMIT
    assert equal(back(document, blobs), values)


def test_a_small_document_is_left_alone() -> None:
    document = {"inputs": {"QF1": 0.5, "image": encode(np.zeros(100_000))}, "outputs": {}}
    before = {**document, "inputs": dict(document["inputs"])}
    assert fit(document) == before


def test_the_largest_values_go_first_and_no_more_than_needed() -> None:
    fields = {f"a{i}": encode(np.full(n, 0.5)) for i, n in enumerate([10, 120_000, *[80_000] * 15])}
    document = fit({"outputs": fields})
    moved = {name for name, value in document["outputs"].items() if isinstance(value["data"], dict)}
    assert "a0" not in moved
    assert "a1" in moved
    assert len(moved) < 10
    assert len(bson.encode(document)) > DOCUMENT_LIMIT - 1_000_000


def test_parts_of_a_large_value_stay_in_sight() -> None:
    """Of a dict of images its numbers can still be asked for."""
    value = {"gain": 2.5, "first": np.zeros(120_000), "second": np.ones(120_000)}
    document = fit({"outputs": {"camera": encode(value)}})
    assert document["outputs"]["camera"]["gain"] == 2.5
    assert blob_digests(document)


@pytest.mark.slow
def test_too_many_blobs_are_refused_in_words() -> None:
    reference = {"%kind": "ndarray", "dtype": "<f8", "shape": [200_000]}
    values = {
        f"a{i}": {**reference, "data": {"%blob": f"{i:064x}", "size": 1_600_000}}
        for i in range(100_000)
    }
    with pytest.raises(SerializationError, match="larger arrays"):
        fit({"outputs": values})


@given(documents())
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
def test_the_size_is_that_in_bson_or_a_little_more(document: dict[str, Any]) -> None:
    size, in_bson = document_size(document), len(bson.encode(document))
    assert in_bson <= size
    assert size <= 1.7 * in_bson + 16


# Building blocks of up to some megabytes, so that a few of them are too much.
_blocks = st.one_of(
    st.builds(np.full, st.integers(0, 400_000), st.floats(0, 1)),
    st.builds(lambda n, text: text * n, st.integers(0, 1_500_000), st.sampled_from("aéω😀")),
    st.builds(lambda n, x: [x] * n, st.integers(0, 300_000), st.sampled_from([0.5, "", None, 7])),
    st.builds(lambda n: [[]] * n, st.integers(0, 300_000)),
    st.builds(lambda n, x: {f"{x}{i}": i for i in range(n)}, st.integers(0, 60_000), st.just("é")),
    st.builds(lambda n: {"name" * n: 0.5}, st.integers(1, 1_000_000)),
    st.binary(max_size=50).map(lambda data: data * 40_000),
)
_values = st.recursive(
    _blocks,
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=6)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from("abcdefgh"), _values, max_size=6))
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_whatever_is_put_in(values: dict[str, Any]) -> None:
    blobs = Blobs()
    document = fit({"outputs": encode(values, blobs.put)}, blobs.put)
    assert len(bson.encode(document)) < DOCUMENT_LIMIT
    assert equal(back(document, blobs)["outputs"], values)
