"""Values come back as they were; documents hold nothing that a store cannot keep."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lume_services.errors import SerializationError
from lume_services.serialization import (
    canonical_hash,
    decode,
    decode_name,
    encode,
    encode_name,
)

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1
).filter(lambda name: not name.startswith("$"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
MILLISECONDS = st.datetimes(timezones=st.just(UTC)).map(
    lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.complex_numbers()
    | TEXTS
    | st.binary()
    | MILLISECONDS
    | st.dates()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)


def same(one: Any, other: Any) -> bool:
    """Equal in type and value, floats bit for bit except a NaN's payload."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        if math.isnan(one):
            return math.isnan(other)
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return bool(one == other)


def check_storable(document: Any, depth: int = 0) -> None:
    """The contract of documents, which stores rely on."""
    assert depth < 90
    if type(document) is dict:
        for name, member in document.items():
            assert type(name) is str
            assert name
            assert not set(name) & {".", "\0"}
            assert name[0] != "$"
            check_storable(member, depth + 1)
    elif type(document) is list:
        for member in document:
            check_storable(member, depth + 1)
    elif type(document) is int:
        assert -(2**63) <= document < 2**63
    elif type(document) is datetime:
        assert document.tzinfo is UTC
        assert document.microsecond % 1000 == 0
    elif type(document) is str:
        document.encode()
    else:
        assert document is None or type(document) in (bool, float, bytes)


@given(VALUES)
def test_values_come_back(value: Any) -> None:
    document = encode(value)
    check_storable(document)
    assert same(decode(document), value)


@given(VALUES)
def test_encoding_changes_nothing_in_what_is_given(value: Any) -> None:
    before = repr(value)
    decode(encode(value))
    assert repr(value) == before


@given(NAMES)
def test_names_come_back(name: str) -> None:
    assert decode_name(encode_name(name)) == name


def test_names_with_dots_and_percent_signs_are_encoded_by_one_rule() -> None:
    assert encode_name("XCOR.VAL") == "XCOR%2EVAL"
    assert encode_name("gain%") == "gain%25"
    assert encode({"a": {"b.c": 1}}) == {"a": {"b%2Ec": 1}}


@pytest.mark.parametrize("name", ["", "a\0b", "$where", 3, None, ("a",), b"a", "\ud800"])
def test_a_name_that_cannot_be_stored_is_refused(name: Any) -> None:
    with pytest.raises(SerializationError, match="name"):
        encode({"inputs": {name: 1.0, "text": "so that no fast path is taken"}})
    with pytest.raises(SerializationError, match="name"):
        encode({name: 1.0})


@pytest.mark.parametrize("name", ["%kind", "%blob", "%datetime", "%bytes", "%25", "%2E"])
def test_names_that_look_reserved_are_ordinary_names(name: str) -> None:
    assert decode(encode({name: "ndarray"})) == {name: "ndarray"}


class Mode(StrEnum):
    STEADY = "steady"


class Turns(IntEnum):
    MANY = 1024


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (np.float64(1.5), 1.5),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.complex64(1 + 2j), 1 + 2j),
        (np.str_("text"), "text"),
        (np.bytes_(b"text"), b"text"),
        ((1, (2.0, "x")), [1, [2.0, "x"]]),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (Mode.STEADY, "steady"),
        (Turns.MANY, 1024),
        (datetime(2026, 10, 1, 12), datetime(2026, 10, 1, 12, tzinfo=UTC)),
        (
            datetime(2026, 10, 1, 12, 0, 0, 123999, timezone(timedelta(hours=2))),
            datetime(2026, 10, 1, 10, 0, 0, 123000, UTC),
        ),
        (date(2026, 10, 1), date(2026, 10, 1)),
    ],
)
def test_relatives_of_plain_values_become_plain(value: Any, stored: Any) -> None:
    assert same(decode(encode(value)), stored)
    check_storable(encode({"a.b": value}))


def test_pandas_timestamps_become_datetimes() -> None:
    pd = pytest.importorskip("pandas")
    stored = decode(encode(pd.Timestamp("2026-10-01T12:00:00.123456789", tz="Europe/Berlin")))
    assert same(stored, datetime(2026, 10, 1, 10, 0, 0, 123000, UTC))
    with pytest.raises(SerializationError, match="NaT"):
        encode(pd.NaT)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        print,
        np.longdouble(1),
        np.array([object()]),
        np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
        np.zeros(3, np.longdouble),
        np.zeros(3, np.clongdouble),
        np.ma.masked_array([1, 2], mask=[True, False]),
        timedelta(seconds=1),
        "\udcff",
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))),
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(SerializationError, match=r"^outputs\.beam\.screens\.1: .+\. ?.+"):
        encode({"beam": {"screens": [0.0, value]}}, path="outputs")


def test_the_message_names_type_and_remedy() -> None:
    with pytest.raises(SerializationError, match=r"x: .*builtins\.set.*Make it a list"):
        encode({"x": {1, 2}})
    with pytest.raises(SerializationError, match=r"float128|longdouble") as caught:
        encode({"x": np.zeros(2, np.longdouble)})
    assert ".astype(" in str(caught.value)


def test_endless_nesting_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(SerializationError, match="nested deeper"):
        encode(endless)


@given(VALUES)
def test_the_hash_does_not_depend_on_the_order_of_names(value: Any) -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reverse(value[name]) for name in reversed(value)}
        return [*map(reverse, value)] if isinstance(value, list) else value

    assert canonical_hash(encode(value)) == canonical_hash(encode(reverse(value)))


def test_the_hash_tells_types_apart() -> None:
    values: list[Any] = [
        1, 1.0, True, "1", b"1", None, "", [], {}, [1], {"1": 1}, 1 + 0j, 2**64, str(2**64), 0, 0.0,
        False, math.nan, math.inf, "NaN", date(2026, 1, 1), datetime(2026, 1, 1), "2026-01-01",
        np.array(1), np.array(1.0), np.array([1]), np.array([[1]]), np.array([1], ">i8"),
        np.array([1], "u8"), np.array(["1"]), np.array([b"1"]), np.array([True]),
    ]  # fmt: skip
    hashes = [canonical_hash(encode({"x": value})) for value in values]
    assert len(set(hashes)) == len(values)


def test_the_hash_of_format_1_stays_what_it_is() -> None:
    """Stored hashes would lose their meaning if this changed."""
    value = {
        "XCOR.VAL": 0.1, "n": 3, "on": True, "mode": "é", "none": None, "bytes": b"\x00\xff",
        "when": datetime(2026, 10, 1, 12, 30, 15, 250000, UTC), "big": 2**70, "z": 1 - 2j,
        "array": np.arange(3, dtype=">f4"), "nested": [{"nan": math.nan, "inf": -math.inf}],
    }  # fmt: skip
    assert canonical_hash(encode(value)) == (
        "7c09767fd6461749dcd6afcdc47902d48deaf90893475056dcebe5314cae7504"
    )


def test_what_is_not_a_document_is_not_hashed() -> None:
    with pytest.raises(SerializationError, match="encode it"):
        canonical_hash({"x": object()})
