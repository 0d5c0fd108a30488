"""Results of LUME-services 0.x: refused where they are read, and brought to this version."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bson import ObjectId

from lume_services.errors import (
    LegacyDocumentError,
    LUMEServicesWarning,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.files import HDF5File, ImageFile, TextFile
from lume_services.results import ImpactResult, Result, frame
from lume_services.results.legacy import migrate_results, result_from_original
from lume_services.services.results import ResultsDBService
from lume_services.services.results.memory import MemoryResultsDB
from tests.results.originals import IMPACT, WHEN, file_record, original, pickled
from tests.results.test_pickles import hostile

IMAGE = np.arange(300_000.0).reshape(500, 600)
TABLE = pd.DataFrame({"x": [0, 1, 2], "y": [0.5, -1.25, 1e-9]})


class ScanResult(Result):
    """A class of a user of 0.x, ported."""

    camera: str
    settings: dict[str, Any]


def documents() -> list[dict[str, Any]]:
    """One of every kind, as our store gives them: ids as text, dates aware."""
    scan = "tests.results.test_migration:ScanResult"
    several = [
        original({"input1": 2.0, "input2": np.arange(5)}, {"output1": 2.0, "output2": TABLE}),
        original({"XCOR.VAL": 0.5, "100%": 1.5}, {"image": IMAGE, "text": "a text", "n": [1, 2]}),
        original(
            {"input1": 2.0, "input3": "my_file.txt"},
            {"nested": {"deeper": {"array": np.ones((2, 2), ">f4")}}},
            kind=IMPACT,
            plot_file=file_record("Image", "plot.png"),
            archive=file_record("HDF5", "archive.h5"),
            pv_collection_isotime=WHEN,
            config={"config1": 1, "config2": {"mesh": np.arange(3)}},
        ),
        original({"a": 1.0}, {"b": 2.0}, kind=scan, camera="YAG", settings={"gain": 3.5}),
        original({"a": 2.0}, {"f": file_record("Text", "a.txt")}, kind=scan.replace(":", "."),
                 camera="OTR", settings={"list": [1, 2.5, None]}),
    ]  # fmt: skip
    for number, document in enumerate(several):
        document["_id"] = str(ObjectId(f"{number:024x}"))
        for name in ("date_modified", "pv_collection_isotime"):
            if name in document:
                document[name] = document[name].replace(tzinfo=UTC)
    return several


@pytest.fixture
def source() -> MemoryResultsDB:
    store = MemoryResultsDB()
    store.insert_many("generic", documents())
    return store


class Other(MemoryResultsDB):
    """A store of another address."""

    address = "other"


# --- Read where they are ----------------------------------------------------------------------


def test_reading_one_names_it_and_the_remedy(source: MemoryResultsDB) -> None:
    service = ResultsDBService(source)
    for document in documents():
        with pytest.raises(
            LegacyDocumentError, match=rf"{document['_id']}.*results migrate --from"
        ):
            Result.from_document(document)
    query = {"inputs.input1": 2.0, "inputs.input2": {"$exists": True}}
    with pytest.raises(LegacyDocumentError, match="results migrate"):
        Result.load_from_query(query, project_name="generic", service=service)


def test_a_table_lists_them_without_their_values() -> None:
    new = {**Result(inputs={"x": 1.5}).get_db_dict(), "_id": "new"}
    with pytest.warns(LUMEServicesWarning, match="5 of the results .* results migrate --from"):
        table = frame([*documents(), new])
    assert list(table["id"]) == [document["_id"] for document in documents()] + ["new"]
    assert list(table["inputs.x"].notna()) == [False] * 5 + [True]
    assert "inputs.input2" not in table
    assert table["date_modified"][0] == pd.Timestamp(WHEN, tz="UTC")


def test_documents_of_this_version_are_not_taken_for_old_ones() -> None:
    document = Result(inputs={"x": 1}, flow_id="f").get_db_dict()
    Result.from_document(document)
    # What an application stored by itself.
    Result.from_document({"inputs": {"x": 1}, "result_type_string": "Result", "unique_hash": "1"})


# --- Brought to this version -----------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return type(one) is type(other) and bool(one == other)


def test_every_value_arrives(source: MemoryResultsDB) -> None:
    target = Other()
    report = migrate_results(source, target)
    assert report.refused == []
    assert (report.migrated, report.already_there, report.copied) == (5, 0, 0)
    results = [Result.from_document(d, target.get_blob) for d in target.scan("generic")]
    plain, dotted, impact, scan, other = results
    assert same(dict(plain.inputs), {"input1": 2.0, "input2": np.arange(5)})
    assert same(dict(plain.outputs), {"output1": 2.0, "output2": TABLE})
    assert same(dict(dotted.inputs), {"XCOR.VAL": 0.5, "100%": 1.5})
    assert same(dict(dotted.outputs), {"image": IMAGE, "text": "a text", "n": [1, 2]})
    assert isinstance(impact, ImpactResult)
    assert impact.plot_file == ImageFile(filename="plot.png")
    assert impact.archive == HDF5File(filename="archive.h5")
    assert impact.pv_collection_isotime == WHEN.replace(tzinfo=UTC)
    assert same(impact.config, {"config1": 1, "config2": {"mesh": np.arange(3)}})
    assert same(impact.outputs["nested"]["deeper"]["array"], np.ones((2, 2), ">f4"))
    assert isinstance(scan, ScanResult)
    assert (scan.camera, scan.settings) == ("YAG", {"gain": 3.5})
    assert isinstance(other, ScanResult)
    assert other.outputs["f"] == TextFile(filename="a.txt")


def test_identity_and_origin_are_kept(source: MemoryResultsDB) -> None:
    target = Other()
    migrate_results(source, target)
    for before, after in zip(documents(), target.scan("generic"), strict=True):
        assert after["_id"] == before["_id"]
        assert after["flow_id"] == before["flow_id"]
        assert after["date_modified"] == before["date_modified"]
        assert after["project_name"] == "generic"
        assert after["migrated_from"]["unique_hash"] == before["unique_hash"]
        assert after["migrated_from"]["result_type_string"] == before["result_type_string"]
        assert len(after["unique_hash"]) == len(after["inputs_hash"]) == 64
    found = target.find("generic", {"migrated_from.unique_hash": documents()[1]["unique_hash"]})
    assert [document["_id"] for document in found] == [documents()[1]["_id"]]


def test_the_source_is_not_changed_and_doing_it_again_adds_nothing(source: MemoryResultsDB) -> None:
    target, before = Other(), list(source.scan(None))
    migrate_results(source, target)
    there = list(target.scan(None))
    again = migrate_results(source, target)
    assert (again.migrated, again.already_there, again.refused) == (0, 5, [])
    assert list(target.scan(None)) == there
    assert list(source.scan(None)) == before


def test_an_interrupted_migration_goes_on(source: MemoryResultsDB) -> None:
    class Lost(Other):
        left = 3

        def insert_many(self, collection: str, documents: Any) -> list[str]:
            self.left -= len(documents)
            if documents and self.left == 0:
                raise ResultsDBUnavailableError("away")
            return super().insert_many(collection, documents)

    target = Lost()
    with pytest.raises(ResultsDBUnavailableError):
        migrate_results(source, target)
    report = migrate_results(source, target)
    assert (report.migrated, report.already_there) == (3, 2)
    assert target.count("generic") == 5


def test_results_of_this_version_are_copied_as_they_are(source: MemoryResultsDB) -> None:
    target = Other()
    service = ResultsDBService(source)
    result_id = Result(inputs={}, outputs={"image": IMAGE}, project_name="generic").insert(service)
    report = migrate_results(source, target)
    assert (report.migrated, report.copied, report.refused) == (5, 1, [])
    copy, before = (next(store.find("generic", {"_id": result_id})) for store in (target, source))
    assert copy == before
    assert same(Result.from_document(copy, target.get_blob).outputs["image"], IMAGE)


def test_the_same_result_stored_twice_is_one(source: MemoryResultsDB) -> None:
    twin = {**documents()[0], "_id": "f" * 24, "unique_hash": "0" * 32}
    source.insert_many("generic", [twin])
    target = Other()
    report = migrate_results(source, target)
    assert (report.migrated, report.already_there) == (5, 1)
    assert target.count("generic") == 5


def test_into_itself_is_refused(source: MemoryResultsDB) -> None:
    with pytest.raises(ResultsDBError, match="same"):
        migrate_results(source, source)


def test_a_store_that_gives_back_something_else_is_noticed(source: MemoryResultsDB) -> None:
    class Forgetful(Other):
        def find(self, *arguments: Any, **named: Any) -> Any:
            for document in super().find(*arguments, **named):
                document["outputs"].pop("text", None)
                yield document

    report = migrate_results(source, Forgetful())
    (refused,) = report.refused
    assert refused.id == documents()[1]["_id"]
    assert "does not come back" in refused.reason
    assert report.migrated == 4


# --- What cannot be read -----------------------------------------------------------------------


def test_hostile_pickles_are_named_and_execute_nothing(
    source: MemoryResultsDB, tmp_path: Path
) -> None:
    pickles = hostile(tmp_path)
    bad = [
        {
            **original({"x": 1.0}, {"y": 1.0}),
            "_id": f"f{number:023d}",
            "unique_hash": f"{number:032}",
        }
        for number in range(len(pickles))
    ]
    for document, data in zip(bad, pickles.values(), strict=True):
        document["outputs"] = {"orbit": data}
    source.insert_many("generic", bad)
    target = Other()
    report = migrate_results(source, target)
    assert not list(tmp_path.iterdir())
    assert report.migrated == 5
    assert {one.id for one in report.refused} == {document["_id"] for document in bad}
    for one in report.refused:
        assert one.collection == "generic"
        assert one.reason.startswith("outputs.orbit: ")
        assert "\n" not in one.reason
    assert source.count("generic") == 5 + len(bad)


REFUSED = {
    "objects": ({"a": pickled(np.array([1, None], object))}, {}, r"outputs\.a.*Python objects"),
    "no pickle": ({"a": {"b": b"PNG"}}, {}, r"outputs\.a\.b"),
    "unknown class": ({}, {"result_type_string": "some.package:Their"}, "some.package:Their"),
    "unknown file": ({"a": {**file_record("Text", "x"), "filename": ""}}, {}, r"outputs\.a"),
    "further fields": ({}, {"temperature": 3.5}, "no field temperature"),
    "name with $": ({"$a": 1.0}, {}, r"\$a"),
    "missing field": ({}, {"result_type_string": IMPACT}, "archive"),
}


@pytest.mark.parametrize(("outputs", "fields", "why"), REFUSED.values(), ids=REFUSED)
def test_others_go_on_when_one_is_refused(
    source: MemoryResultsDB, outputs: Any, fields: Any, why: str
) -> None:
    bad = {**original({"x": 1.0}, {"y": 1.0}), "outputs": outputs, "_id": "f" * 24, **fields}
    source.insert_many("generic", [bad])
    report = migrate_results(source, Other())
    (refused,) = report.refused
    assert refused.id == "f" * 24
    assert report.migrated == 5
    with pytest.raises(SerializationError, match=why):
        result_from_original(bad, "generic").get_db_dict()


def test_a_class_named_in_a_document_is_not_imported(tmp_path: Path, monkeypatch: Any) -> None:
    mark = tmp_path / "imported"
    (tmp_path / "theirs.py").write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SerializationError, match="not known here"):
        result_from_original(original({"x": 1.0}, {"y": 1.0}, kind="theirs:Result"), "generic")
    assert not mark.exists()


FRAMES = {
    "counted": pd.DataFrame({"x": [1, 2], "y": [0.5, None]}),
    "named rows": pd.DataFrame({"x": [1.5, 2.5]}, index=["a", "b"]),
    "empty": pd.DataFrame({"x": []}),
    "nothing": pd.DataFrame(),
    "text": pd.DataFrame({"s": ["é/", "b", None]}),
}


@pytest.mark.parametrize("table", FRAMES.values(), ids=FRAMES)
def test_frames(table: pd.DataFrame) -> None:
    result = result_from_original(original({"x": 1.0}, {"table": table}), "generic")
    loaded = Result.from_document(result.get_db_dict()).outputs["table"]
    assert list(loaded.columns) == list(table.columns)
    assert list(map(str, loaded.index)) == list(map(str, table.index))
    for name in table.columns:
        assert list(loaded[name].dropna()) == list(table[name].dropna())


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "1e3",
        "true",
        "null",
        "[1, 2]",
        '{"a": 1}',
        '{"a": {"b": 1}, "c": {"d": 2}}',
        "{",
        "{}x",
    ],
)
def test_text_that_is_no_frame_stays_text(text: str) -> None:
    """0.x tried to make a frame of every text that is JSON."""
    result = result_from_original(original({"x": text}, {"y": {"deeper": text}}), "generic")
    assert result.inputs["x"] == text
    assert result.outputs["y"]["deeper"] == text


def test_dates_as_text_of_the_first_releases_are_read() -> None:
    document = original({"x": 1.0}, {"y": 1.0}, date_modified="2022-06-01T10:00:00.123456")
    result = result_from_original(document, "generic")
    assert result.date_modified == datetime(2022, 6, 1, 10, 0, 0, 123000, UTC)
