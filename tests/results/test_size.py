"""No result makes a document over 8 MB, and none loses anything by it."""

from __future__ import annotations

from typing import Any

import bson
import numpy as np
import pytest

from lume_services.errors import InvalidInputError
from lume_services.results import Provenance, Result, describe_error, frame
from lume_services.serialization import DOCUMENT_LIMIT
from tests.equality import equal


class ManyFields(Result):
    """Fields of its own, each just below what is moved by itself."""

    unique_on = ("flow_id", "inputs", "image", "notes")

    image: Any
    notes: str
    settings: dict[str, Any]
    points: list[float]
    more: Any
    again: Any


ARRAY = np.arange(130_000.0)
TEXT = "ω" * 500_000
POINTS = [0.5] * 70_000
LARGE: dict[str, Result] = {
    "arrays": Result(inputs={"QF1": 0.5}, outputs={f"a{i}": ARRAY + i for i in range(100)}),
    "inputs": Result(inputs={f"a{i}": ARRAY + i for i in range(20)}, outputs={"tune": 0.3}),
    "names": Result(inputs={"QF1": 0.5}, outputs={f"{i}".ljust(1000): 0.5 for i in range(9_000)}),
    "both": Result(
        inputs={f"{i}".ljust(1000): 0.5 for i in range(5_000)},
        outputs={f"{i}".ljust(1000): 0.5 for i in range(5_000)},
    ),
    "error": Result(
        inputs={"QF1": 0.5, "points": POINTS},
        outputs={f"a{i}": ARRAY for i in range(8)},
        status="failed",
        error={"type": "ValueError", "message": TEXT, "traceback": TEXT * 9},
    ),
    "fields": ManyFields(
        inputs={"QF1": 0.5},
        outputs={f"a{i}": ARRAY + i for i in range(5)},
        image=ARRAY,
        notes=TEXT,
        settings={"a": ARRAY, "b": {"c": [ARRAY] * 3}},
        points=POINTS,
        more=[POINTS] * 5,
        again=[TEXT] * 5,
    ),
}


@pytest.mark.parametrize("result", LARGE.values(), ids=LARGE)
def test_the_document_of_any_result_is_small(result: Result, service: Any) -> None:
    result_id = result.insert(service)
    (document,) = service.find(result.project_name, {"_id": result_id})
    assert len(bson.encode(document)) < DOCUMENT_LIMIT
    loaded = Result.from_document(document, service.get_blob)
    for name in type(result).model_fields:
        assert equal(getattr(loaded, name), getattr(result, name)), name
    # Made again from the values, not taken from the document.
    fresh = loaded.model_copy(update={"version": None})
    assert fresh.unique_hash == result.unique_hash == document["unique_hash"]
    assert fresh.inputs_hash == document["inputs_hash"]
    service.delete(result.project_name, [result_id])


def test_small_values_beside_large_ones_are_found_by_a_query(service: Any) -> None:
    LARGE["arrays"].insert(service)
    assert service.count("local", {"inputs.QF1": {"$gt": 0.4}}) == 1
    loaded = Result.load_from_query({"inputs.QF1": 0.5}, service=service)
    service.results_db.read.clear()
    assert loaded.inputs["QF1"] == 0.5
    assert not service.results_db.read, "no blob is read for what stands in the document"
    assert equal(loaded.outputs["a7"], ARRAY + 7)
    assert len(service.results_db.read) == 1


def test_a_table_of_very_large_results(service: Any) -> None:
    for name in ("names", "both"):
        LARGE[name].insert(service)
    table = frame(service.find_all("local"))
    assert list(table["status"]) == ["success", "success"]


def test_a_long_traceback_is_kept(service: Any) -> None:
    error = describe_error(ValueError("x" * 9_000_000))
    Result(inputs={}, status="failed", error=error).insert(service)
    (document,) = service.find_all("local")
    assert document["error"]["type"] == "ValueError"
    assert Result.from_document(document, service.get_blob).error == error


@pytest.mark.parametrize("name", ["project_name", "flow_id", "flow_run_id", "version"])
def test_what_identifies_is_short(name: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        Result(inputs={}, **{name: "x" * 1001})


def test_so_is_provenance() -> None:
    with pytest.raises(ValueError, match="host"):
        Provenance(host="x" * 1001, user="me", python="3", packages="0", started=0)
