"""Many results become one table with the right columns and dtypes."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lume_services.errors import LUMEServicesWarning
from lume_services.results import Result, frame

FIXED = ["date_modified", "flow_id", "version", "status", "id"]
WHEN = datetime(2026, 10, 1, 12, 0, 0, 250000, UTC)


@pytest.fixture
def results(service: Any) -> list[Result]:
    results = [
        Result(
            inputs={"XCOR.VAL": 0.5 * n, "n": n, "on": n > 0, "mode": "ab"[n], "50%": 1.0},
            outputs={"orbit": np.full(3, n), "when": WHEN, "z": 1 + n * 1j, "list": [n], "t": {}},
            flow_id="f", version="1.0", date_modified=WHEN,
        )
        for n in range(2)
    ]  # fmt: skip
    for result in results:
        result.insert(service)
    return results


@pytest.mark.parametrize("stored", [True, False], ids=["documents", "results"])
def test_columns_have_names_and_dtypes(results: Any, service: Any, stored: bool) -> None:
    table = frame(service.find_all("local") if stored else results)
    text = pd.Series(["a"]).dtype
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        "inputs.XCOR.VAL": "float64",
        "inputs.n": "int64",
        "inputs.on": "bool",
        "inputs.mode": text,
        "inputs.50%": "float64",
        "outputs.orbit": "object",
        "outputs.when": "datetime64[ms, UTC]",
        "outputs.z": "complex128",
        "outputs.list": "object",
        "outputs.t": "object",
        "date_modified": "datetime64[ms, UTC]",
        "flow_id": text,
        "version": text,
        "status": text,
        "id": text,
    }
    assert list(table["inputs.XCOR.VAL"]) == [0.0, 0.5]
    assert list(table["outputs.z"]) == [1, 1 + 1j]
    assert (table["outputs.orbit"][1] == np.ones(3)).all()
    assert table["outputs.list"][1] == [1]
    assert table["date_modified"][0] == WHEN
    assert list(table["id"]) == [result.id for result in results]


@pytest.mark.parametrize("nothing", [[], iter([])])
def test_no_results_are_an_empty_table(nothing: Any) -> None:
    table = frame(nothing)
    assert table.columns.tolist() == FIXED
    assert len(table) == 0
    assert str(table["date_modified"].dtype) == "datetime64[ms, UTC]"


def test_what_a_result_does_not_have_is_missing() -> None:
    error = {"type": "ValueError", "message": "unstable", "traceback": ""}
    documents = [
        Result(inputs={"x": 1.0, "n": 1}, outputs={"y": 2, "s": "a"}).get_db_dict(),
        Result(inputs={"x": 2.0}, status="failed", error=error).get_db_dict(),
    ]
    table = frame(documents)
    assert list(table["status"]) == ["success", "failed"]
    assert table["inputs.n"].dtype == float
    assert table["outputs.y"].isna().tolist() == [False, True]
    assert table["outputs.s"].isna().tolist() == [False, True]
    assert table["flow_id"].isna().all()


def test_values_of_several_types_stay_what_they_are() -> None:
    values: list[Any] = [1, 2.5, "text", None, [1], np.ones(2), date(2026, 1, 1), 2**70, b"ab"]
    documents = [Result(inputs={"x": value}).get_db_dict() for value in values]
    column = frame(documents)["inputs.x"]
    assert column.dtype == object
    for before, after in zip(values, column, strict=True):
        assert type(before) is type(after)


def test_numbers_and_not_a_number() -> None:
    values = [1.0, float("nan"), float("inf"), -0.0]
    column = frame([Result(inputs={"x": value}).get_db_dict() for value in values])["inputs.x"]
    assert column.to_numpy().tobytes() == np.array(values).tobytes()


def test_arrays_of_one_shape_are_not_taken_apart() -> None:
    documents = [Result(inputs={"x": np.ones((2, 2))}).get_db_dict() for _ in range(2)]
    assert frame(documents)["inputs.x"][1].shape == (2, 2)


def test_large_values_are_read_when_it_is_said_where_from(service: Any) -> None:
    image = np.ones((500, 500))
    Result(inputs={}, outputs={"image": image, "nested": {"image": image}}).insert(service)
    documents = service.find_all("local")
    loaded = frame(documents, service.get_blob)
    assert (loaded["outputs.image"][0] == image).all()
    service.results_db.read.clear()
    assert frame(documents)["outputs.image"][0] == "ndarray <f8 (500, 500)"
    assert not service.results_db.read


def test_very_many_names_have_columns_too(service: Any) -> None:
    outputs = {f"{i} of many".ljust(5000): float(i) for i in range(2000)}
    Result(inputs={"x": 1.0}, outputs=outputs).insert(service)
    documents = service.find_all("local")
    assert len(frame(documents, service.get_blob).columns) == 1 + len(outputs) + len(FIXED)
    assert frame(documents)["inputs.x"][0] == 1.0


@pytest.mark.parametrize("stored", [True, False], ids=["documents", "results"])
class TestUnreadable:
    """One value that cannot be read does not take the table with it."""

    def rows(self, service: Any, stored: bool) -> Any:
        documents = service.find_all("local")
        read = service.get_blob
        return documents if stored else [Result.from_document(d, read) for d in documents]

    def test_kind_that_is_not_known_here(self, service: Any, stored: bool) -> None:
        for x in (1.0, 2.0):
            document = Result(inputs={"x": x}, outputs={"y": 1.0}).get_db_dict()
            document["outputs"]["beam"] = {"%kind": "hologram", "data": b"abc"}
            service.insert_one("local", document)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = frame(self.rows(service, stored), service.get_blob)
        assert list(table["outputs.beam"]) == ["hologram, 3 bytes"] * 2
        assert list(table["inputs.x"]) == [1.0, 2.0]

    @pytest.mark.parametrize("damage", ["missing", "corrupt"])
    def test_blob_that_is_lost(self, service: Any, stored: bool, damage: str) -> None:
        image = np.ones((500, 500))
        Result(inputs={"x": 1.0}, outputs={"image": image}).insert(service)
        lost = Result(inputs={"x": 2.0}, outputs={"image": image + 1}).insert(service)
        digest = service.find_all("local")[1]["outputs"]["image"]["data"]["%blob"]
        service.results_db.lose(digest, damage)
        with pytest.warns(
            LUMEServicesWarning, match=rf"outputs\.image of result {lost} .*{digest}"
        ):
            table = frame(self.rows(service, stored), service.get_blob)
        assert (table["outputs.image"][0] == image).all()
        assert table["outputs.image"][1] == "ndarray <f8 (500, 500)"
        assert list(table["inputs.x"]) == [1.0, 2.0]


def test_names_that_are_lost(service: Any) -> None:
    outputs = {f"{i} of many".ljust(5000): float(i) for i in range(2000)}
    Result(inputs={"x": 1.0}, outputs=outputs).insert(service)
    (document,) = service.find_all("local")
    service.results_db.lose(document["outputs"]["data"]["%blob"], "missing")
    with pytest.warns(LUMEServicesWarning, match=rf"outputs of result {document['_id']} "):
        table = frame([document], service.get_blob)
    assert list(table["inputs.x"]) == [1.0]
