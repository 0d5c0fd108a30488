"""Whoever can write a document can make it say anything: reading it fails in one way only."""

from __future__ import annotations

import contextlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from beamphysics import ParticleGroup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lume_services.errors import SerializationError
from lume_services.serialization import decode, encode, hash_only

DATA = b"\x00" * 24
GOOD = {"%kind": "ndarray", "dtype": "<f8", "shape": [3], "data": DATA}
DIGEST = hash_only(b"not JSON")

HOSTILE: dict[str, Any] = {
    "no kind": {"%kind": None},
    "unknown kind": {"%kind": "os:system", "data": "true"},
    "kind of a wrong type": {"%kind": ["ndarray"]},
    "a kind that is a dict": {"%kind": {"%kind": "ndarray"}},
    "reserved name": {"%other": 1},
    "raw dot": {"a.b": 1},
    "nothing": {"%kind": "ndarray"},
    "object dtype": {**GOOD, "dtype": "|O"},
    "record dtype": {**GOOD, "dtype": "<f8,<f8"},
    "dtype of a wrong type": {**GOOD, "dtype": 8},
    "long double": {**GOOD, "dtype": "<f16"},
    "dtype with more": {**GOOD, "dtype": "<f8\n"},
    "zero unit": {**GOOD, "dtype": "<M8[0s]"},
    "no byte order": {**GOOD, "dtype": "f8"},
    "text of length 0": {**GOOD, "dtype": "<U0", "data": b""},
    "too short": {**GOOD, "data": DATA[:-1]},
    "too long": {**GOOD, "data": DATA + b"\x00"},
    "no data": {**GOOD, "data": None},
    "text as data": {**GOOD, "data": "x" * 24},
    "list as data": {**GOOD, "data": [0.0] * 3},
    "negative shape": {**GOOD, "shape": [-3]},
    "negative twice": {**GOOD, "shape": [-3, -1]},
    "bool in shape": {**GOOD, "shape": [True, 3]},
    "float in shape": {**GOOD, "shape": [3.0]},
    "text as shape": {**GOOD, "shape": "3"},
    "huge": {**GOOD, "shape": [10**12]},
    "huge and empty": {**GOOD, "shape": [0, 10**30], "data": b""},
    "too many axes": {**GOOD, "shape": [1] * 100 + [3]},
    "not booleans": {**GOOD, "dtype": "|b1", "data": b"\x00\x01\x02"},
    "not Unicode": {**GOOD, "dtype": "<U1", "data": b"\xff" * 12},
    "complex": {"%kind": "complex", "data": [1.0]},
    "complex text": {"%kind": "complex", "data": ["1", "2"]},
    "bigint": {"%kind": "bigint", "data": "1e5"},
    "bigint with underscore": {"%kind": "bigint", "data": "1_0"},
    "endless bigint": {"%kind": "bigint", "data": "1" * 100_000},
    "date": {"%kind": "date", "data": "yesterday"},
    "date number": {"%kind": "date", "data": 7},
    "text": {"%kind": "text", "data": b"\xff"},
    "text that is none": {"%kind": "text", "data": 5},
    "json": {"%kind": "json", "data": b"{"},
    "json of json": {"%kind": "json", "data": b'{"%kind": "json", "data": {"%bytes": "ew=="}}'},
    "json bytes": {"%kind": "json", "data": b'{"%bytes": "=="}'},
    "json date": {"%kind": "json", "data": b'{"%datetime": 1e30}'},
    "deep json": {"%kind": "json", "data": b"[" * 100_000 + b"]" * 100_000},
    "pickle": {"%kind": "json", "data": pickle.dumps({"a": 1})},
    "frame": {"%kind": "frame", "data": b"ARROW1"},
    "frame without data": {"%kind": "frame"},
    "pickled frame": {"%kind": "frame", "data": pickle.dumps(pd.DataFrame({"a": [1]}))},
    "series": {"%kind": "series", "named": True, "data": encode(pd.DataFrame(np.eye(2)))["data"]},
    "series without name": {"%kind": "series", "data": encode(pd.Series([1.0]))["data"]},
    "particlegroup": {"%kind": "particlegroup", "data": b"\x89HDF\r\n\x1a\n" + b"\0" * 500},
    "tensor": {**GOOD, "%kind": "tensor"},
    "bfloat16 of floats": {**GOOD, "%kind": "tensor", "bfloat16": True},
    "blob": {"%blob": "../../../etc/passwd", "size": 3},
    "blob number": {"%blob": 3, "size": 3},
    "blob of no size": {"%blob": DIGEST},
    "blob of another size": {"%blob": DIGEST, "size": 3},
    "blob inside": {**GOOD, "data": {"%blob": "..", "size": 24}},
    "blob that is not JSON": {"%kind": "json", "data": {"%blob": DIGEST, "size": 8}},
    "set": {1, 2},
    "tuple": (1, 2),
    "number as name": {1: 2},
}


def get_blob(digest: str) -> bytes:
    assert digest == DIGEST, "only a sha256 may be asked for"
    return b"not JSON"


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE)
def test_a_malformed_document_is_a_serialization_error(document: Any) -> None:
    for place in (document, [document], {"outputs": {"a": document}}):
        with pytest.raises(SerializationError):
            decode(place, get_blob)


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = 1.0
    for _ in range(100_000):
        deep = [deep]
    try:
        with pytest.raises(SerializationError, match="nested"):
            decode(deep)
    finally:  # freed level by level: freeing all at once overflows the C stack
        while isinstance(deep, list):
            deep = deep.pop()


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    target = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> Any:
            return (target.touch, ())

    bomb = pickle.dumps(Bomb())
    for kind in ("ndarray", "frame", "series", "particlegroup", "text", "json", "tensor", "file"):
        for fields in ({}, {"dtype": "|O", "shape": [1]}, {"dtype": "|S1", "shape": [len(bomb)]}):
            with contextlib.suppress(SerializationError):
                decode({"%kind": kind, "named": True, **fields, "data": bomb})
    assert decode(encode(bomb)) == bomb
    assert not target.exists()


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=64)
)
FIELDS = st.sampled_from(
    ["%kind", "%blob", "%bytes", "%datetime", "dtype", "shape", "data", "size", "named", "bfloat16"]
)
KINDS = st.sampled_from(
    ["ndarray", "complex", "bigint", "text", "date", "json", "tensor", "<f8", "|b1", "<U1", DIGEST]
)
ANYTHING = st.recursive(
    LEAVES | KINDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(), inner),
)


@given(st.dictionaries(FIELDS, ANYTHING | KINDS))
def test_reading_any_document_raises_nothing_else(document: dict[str, Any]) -> None:
    with contextlib.suppress(SerializationError):
        decode(document, get_blob)


def _stored() -> list[dict[str, Any]]:
    coordinates: dict[str, Any] = {
        name: np.arange(3.0) for name in ("x", "px", "y", "py", "z", "pz", "t", "weight")
    }
    beam = ParticleGroup(data={**coordinates, "status": np.ones(3, int), "species": "proton"})
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": pd.Categorical(["p", "q"])})
    return [encode(frame), encode(frame["b"]), encode(beam)]


STORED = _stored()


@given(st.sampled_from(STORED), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_damaged_tables_and_beams_raise_nothing_else(stored: dict[str, Any], data: Any) -> None:
    damaged = bytearray(stored["data"])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(damaged)))
    with contextlib.suppress(SerializationError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beamphysics', about what it makes of the damage
        decode({**stored, "data": bytes(damaged[:cut])})
