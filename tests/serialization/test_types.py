"""Frames, series, particle groups, tensors, and types that others register."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from beamphysics import ParticleGroup

from lume_services import plugins
from lume_services.errors import MissingDependencyError, SerializationError
from lume_services.serialization import canonical_hash, decode, encode, register

FRAMES = {
    "no columns left": pd.DataFrame({"x": [1.0, 2.0]})[[]],
    "numbers": pd.DataFrame({"f": [1.0, np.nan], "i": [1, 2], "b": [True, False]}),
    "narrow": pd.DataFrame({"f2": np.array([1, 2], "f2"), "u1": np.array([1, 2], "u1")}),
    "text": pd.DataFrame({"s": ["x", "é"]}),
    "objects": pd.DataFrame({"o": pd.Series(["a", None], dtype=object)}),
    "categories": pd.DataFrame({"c": pd.Categorical(["a", "b"], categories=["b", "a"])}),
    "times": pd.DataFrame(
        {"t": pd.to_datetime(["2026", "2027"], utc=True), "d": pd.to_timedelta([1, 2], "ns")}
    ),
    "nullable": pd.DataFrame({"i": pd.array([1, None], dtype="Int64")}),
    "index": pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([0.1, 0.2], name="s [m]")),
    "text index": pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"]),
    "index of objects": pd.DataFrame(
        {"x": [1.0, 2.0]}, index=pd.Index(["a", None], dtype=object, name="s")
    ),
    "steps": pd.DataFrame({"x": [1.0, 2.0]}, index=pd.RangeIndex(10, 30, 10)),
    "levels": pd.DataFrame(
        [[1, 2.0]],
        columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["p", "q"]),
        index=pd.MultiIndex.from_tuples([("x", 1)], names=["k", None]),
    ),
    "numbered columns": pd.DataFrame(np.eye(3)),
    "dots": pd.DataFrame({"XCOR.VAL": [1.0], "%": [2]}),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"x": np.zeros(0, "f4")}),
    "large": pd.DataFrame(np.arange(300_000.0).reshape(-1, 3), columns=list("abc")),
}


def through(value: Any) -> Any:
    blobs: dict[str, bytearray] = {}

    def put(buffer: Any) -> str:
        from lume_services.serialization import hash_only

        blobs[hash_only(buffer)] = bytearray(buffer)
        return hash_only(buffer)

    return decode(encode(value, put), blobs.__getitem__)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames_come_back(frame: pd.DataFrame) -> None:
    loaded = through(frame)
    pd.testing.assert_frame_equal(loaded, frame, check_index_type="exact", check_exact=True)
    if loaded.size:
        loaded.iloc[0, 0] = loaded.iloc[-1, 0]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1.0, np.nan], name="x"),
        pd.Series([1, 2]),
        pd.Series(["a", "b"], index=["p", "q"], name=("a", 1)),
        pd.Series([], dtype="f4", name=0),
        pd.Series([1.0, 2.0], pd.date_range("2026", periods=2, freq="D", tz="UTC"), name="t"),
    ],
    ids=["named", "without a name", "tuple", "empty", "times"],
)
def test_series_come_back(series: pd.Series[Any]) -> None:
    pd.testing.assert_series_equal(through(series), series, check_freq=False)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"c": [1 + 2j]}),
        pd.DataFrame({"c": [object()]}),
        pd.DataFrame({"c": [1, "x"]}),
        pd.DataFrame({"c": pd.Series([1, None], dtype=object)}),
        pd.DataFrame({"c": [[1, 2], [3]]}),
        pd.DataFrame({"c": pd.arrays.SparseArray([0, 1])}),
        pd.DataFrame({"c": [2**70]}, dtype=object),
        pd.DataFrame([[1, 2]], columns=["c", "c"]),
        pd.DataFrame({"c": [1], 0: [2]}),
        pd.DataFrame({"x": [1]}, index=pd.Index([1], dtype=object, name="c")),
    ],
    ids=[
        "complex", "objects", "mixed", "integers as objects", "lists", "sparse", "big", "twice",
        "names of two types", "index",
    ],
)  # fmt: skip
def test_a_frame_that_would_come_back_as_another_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SerializationError, match=r"^outputs\.table: .*(c|columns?)\b"):
        encode({"table": frame}, path="outputs")


def test_the_hash_of_a_frame_does_not_depend_on_versions() -> None:
    data = encode(FRAMES["text"])["data"]
    assert pd.__version__.encode() not in data
    assert sys.modules["pyarrow"].__version__.encode() not in data
    assert canonical_hash(encode(FRAMES["text"])) == canonical_hash(encode(FRAMES["text"].copy()))


@pytest.fixture
def beam() -> ParticleGroup:
    rng = np.random.default_rng(1)
    data: dict[str, Any] = {name: rng.normal(size=500) / 3 for name in ("x", "y", "z", "t")}
    data |= {name: 1e7 / 3 + rng.normal(size=500) for name in ("px", "py", "pz")}
    data |= {"status": np.arange(500) % 3, "weight": rng.random(500), "species": "electron"}
    return ParticleGroup(data=data)


def test_particle_groups_come_back_bit_for_bit(beam: ParticleGroup) -> None:
    loaded = through(beam)
    assert isinstance(loaded, ParticleGroup)
    assert loaded.species == "electron"
    for name in ("x", "px", "y", "py", "z", "pz", "t", "status", "weight"):
        assert loaded[name].tobytes() == beam[name].tobytes(), name
        assert loaded[name].dtype == beam[name].dtype, name


def test_the_hash_of_a_particle_group_does_not_depend_on_the_time(
    beam: ParticleGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = canonical_hash(encode(beam))
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert canonical_hash(encode(beam)) == before


def test_a_beam_that_was_lost_is_refused_with_a_remedy(beam: ParticleGroup) -> None:
    with pytest.raises(SerializationError, match=r"beam: .*without particles.*None"):
        encode({"beam": beam[beam.status == 7]})


@dataclass
class Twiss:
    """A type of somebody else's."""

    beta: float
    orbit: np.ndarray[Any, Any]


class TwissCodec:
    kind = "twiss"

    def matches(self, value: object) -> bool:
        return isinstance(value, Twiss)

    def encode(self, value: Any, put_blob: Any) -> Mapping[str, Any]:
        return {"beta": value.beta, "orbit": encode(value.orbit, put_blob), "raw": b"1234"}

    def decode(self, document: Mapping[str, Any], get_blob: Any) -> Any:
        return Twiss(document["beta"], decode(document["orbit"], get_blob))


@pytest.fixture
def codecs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from lume_services.serialization import _codecs

    table = dict(_codecs._codecs)
    monkeypatch.setattr(_codecs, "_codecs", table)
    return table


def test_registered_types_come_back(codecs: dict[str, Any]) -> None:
    register(TwissCodec())
    loaded = through({"lattice": Twiss(1.5, np.arange(3.0))})["lattice"]
    assert loaded.beta == 1.5
    assert (loaded.orbit == [0, 1, 2]).all()


def test_a_codec_of_a_module_that_is_not_imported_is_found(
    codecs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"%kind": "twiss", "beta": 1.5, "orbit": encode(np.arange(3.0))}
    with pytest.raises(SerializationError, match="twiss"):
        decode(document)
    asked = []

    def load(group: str, name: str, *, variable: str) -> Any:
        asked.append((group, name))
        return TwissCodec()

    monkeypatch.setattr(plugins, "load", load)
    assert decode(document).beta == 1.5
    assert decode(document).beta == 1.5
    assert asked == [(plugins.VALUES, "twiss")]


class FakeTensor:
    """As much of torch.Tensor as is used to store one."""

    def __init__(self, array: np.ndarray[Any, Any], dtype: str) -> None:
        self.array, self.dtype, self.layout = array, dtype, "strided"

    def detach(self) -> FakeTensor:
        return self

    cpu = resolve_conj = resolve_neg = contiguous = detach

    def view(self, dtype: str) -> FakeTensor:
        return FakeTensor(self.array, dtype)

    def numpy(self) -> np.ndarray[Any, Any]:
        if self.dtype == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """torch itself takes 1 GB to install; this stands for the calls made to it."""
    module = ModuleType("torch")
    vars(module).update(
        Tensor=FakeTensor,
        bfloat16="bfloat16",
        int16="int16",
        from_numpy=lambda array: FakeTensor(array, str(array.dtype)),
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors_come_back_with_their_dtype(torch: ModuleType, dtype: str) -> None:
    array = np.arange(6, dtype="i2" if dtype == "bfloat16" else dtype).reshape(2, 3)
    loaded = through(FakeTensor(array, dtype))
    assert isinstance(loaded, FakeTensor)
    assert loaded.dtype == dtype
    assert loaded.array.tobytes() == array.tobytes()
    assert loaded.array.shape == (2, 3)


def test_a_tensor_where_torch_is_missing_says_what_to_install(
    torch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = encode(FakeTensor(np.zeros(3, "f4"), "float32"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match="pip install torch"):
        decode(document)
