"""Values of a stored result are read when they are asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from lume_services.errors import BlobNotFoundError, SerializationError
from lume_services.results import Result
from lume_services.serialization import hash_only

BIG = np.arange(200_000.0)


@pytest.fixture
def loaded(service: Any) -> Result:
    Result(inputs={"x": 1.0}, outputs={"a": BIG, "tune": 0.31, "b": BIG + 1}).insert(service)
    service.results_db.read.clear()
    return Result.load_from_query({}, service=service)


def test_only_what_is_asked_for_is_read(loaded: Result, service: Any) -> None:
    read = service.results_db.read
    assert loaded.outputs["tune"] == 0.31
    assert list(loaded.outputs) == ["a", "tune", "b"]
    assert len(loaded.outputs) == 3
    assert "a" in loaded.outputs
    assert "not loaded" in repr(loaded)
    assert not read
    assert (loaded.outputs["a"] == BIG).all()
    assert read == [hash_only(BIG)]
    assert loaded.outputs["a"] is loaded.outputs["a"]
    assert len(read) == 1
    assert loaded.outputs.get("nothing", 7) == 7
    assert (loaded.outputs.get("b") == BIG + 1).all()
    assert len(read) == 2


class Outputs(BaseModel):
    values: dict[str, Any]


@pytest.mark.parametrize(
    "use",
    [
        dict,
        lambda values: {**values},
        lambda values: (lambda **options: options)(**values),
        lambda values: dict(values.items()),
        lambda values: dict(zip(values.keys(), values.values(), strict=True)),
        lambda values: values.copy(),
        lambda values: values | {},
        lambda values: {} | values,
        lambda values: pd.Series(values).to_dict(),
        lambda values: Outputs(values=values).values,
        lambda values: {name: values.pop(name) for name in list(values)},
        lambda values: {name: values.setdefault(name, None) for name in values},
    ],
)
def test_it_behaves_as_a_dict(loaded: Result, use: Any) -> None:
    assert isinstance(loaded.outputs, dict)
    values = use(loaded.outputs)
    assert list(values) == ["a", "tune", "b"]
    assert (values["a"] == BIG).all()
    assert (values["b"] == BIG + 1).all()
    assert values["tune"] == 0.31


def test_it_becomes_a_frame(loaded: Result) -> None:
    values = dict.fromkeys(loaded.outputs)
    del loaded.outputs["tune"]
    assert values.keys() == {"a", "tune", "b"}
    assert (pd.DataFrame(loaded.outputs)["b"] == BIG + 1).all()


def test_it_equals_a_dict_of_the_same_values(service: Any) -> None:
    text = "x" * 2_000_000
    Result(inputs={}, outputs={"log": text}).insert(service)
    outputs = Result.load_from_query({}, service=service).outputs
    assert outputs == {"log": text}
    assert Result.load_from_query({}, service=service).outputs != {"log": ""}
    assert json.loads(json.dumps(Result.load_from_query({}, service=service).outputs)) == outputs


def test_what_is_set_replaces_what_was_stored(loaded: Result) -> None:
    loaded.outputs["a"] = 1.0
    assert loaded.outputs["a"] == 1.0
    assert loaded.model_dump()["outputs"]["a"] == 1.0


def test_one_value_that_cannot_be_read_does_not_hide_the_others(service: Any) -> None:
    document = Result(inputs={}, outputs={"tune": 0.31, "odd": 1.0, "gone": BIG}).get_db_dict()
    document["outputs"]["odd"] = {"%kind": "from a package that is not installed"}
    result = Result.from_document(document, service.get_blob)
    assert result.outputs["tune"] == 0.31
    with pytest.raises(SerializationError, match="not known here") as caught:
        result.outputs["odd"]
    assert "'odd'" in caught.value.__notes__[0]
    with pytest.raises(BlobNotFoundError):
        result.outputs["gone"]


def test_small_values_are_in_a_plain_dict(service: Any) -> None:
    Result(inputs={"x": 1.0}, outputs={"orbit": np.ones(3)}).insert(service)
    assert type(Result.load_from_query({}, service=service).outputs) is dict


def test_names_alone_may_be_too_large_for_a_document(service: Any) -> None:
    outputs = {f"{i} of many".ljust(1000): float(i) for i in range(9000)}
    Result(inputs={}, outputs=outputs).insert(service)
    assert Result.load_from_query({}, service=service).outputs == outputs


def test_the_same_array_is_stored_once(service: Any) -> None:
    from lume_services.serialization import blob_digests

    for n in range(2):
        Result(inputs={"n": n}, outputs={"a": BIG, "b": BIG.copy()}).insert(service)
    documents = service.find_all("local")
    assert [blob_digests(document) for document in documents] == [{hash_only(BIG)}] * 2


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
from lume_services.results import Result
from lume_services.services.results import ResultsDBService
from lume_services.services.results.sqlite import SQLiteResultsDB

def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

service = ResultsDBService(SQLiteResultsDB(Path(sys.argv[2])))
Result(inputs={}, outputs={"warm": np.ones(200_000)}, flow_id=sys.argv[1]).insert(service)
Result.load_from_query({"flow_id": sys.argv[1]}, service=service).outputs["warm"]
before = peak()
if sys.argv[1] == "store":
    array = np.random.default_rng(1).random(12_500_000)
    Result(inputs={"n": 1}, outputs={"array": array, "same": array}).insert(service)
else:
    array = Result.load_from_query({"inputs.n": 1}, service=service).outputs["array"]
    assert array.nbytes == 100_000_000
    array[0] = 1.0
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_a_large_array_is_stored_and_loaded_in_bounded_memory(tmp_path: Any) -> None:
    for what in ("store", "load"):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, what, str(tmp_path / "results.db")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peak = int(done.stdout)
        assert 95e6 <= peak < 2.5 * 100e6, f"to {what} 100 MB took {peak / 1e6:.0f} MB"
    blobs = [path for path in tmp_path.rglob("*") if path.is_file() and "blobs" in str(path)]
    assert len([path for path in blobs if path.stat().st_size == 100_000_000]) == 1


def test_a_result_is_printed_on_a_few_lines() -> None:
    result = Result(inputs={"x": 1.5}, outputs={"image": np.zeros((500, 500)), "tune": 0.31})
    assert len(repr(result)) < 250
    assert "ndarray float64 (500, 500)" in repr(result)
    assert "0.31" in str(result)
