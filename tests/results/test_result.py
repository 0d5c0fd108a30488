"""Results are stored once, and come back as what they were."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from lume_services.config import configure, context
from lume_services.errors import (
    AmbiguousError,
    EnvironmentNotConfiguredError,
    InvalidInputError,
    ResultNotFoundError,
    SerializationError,
)
from lume_services.files import HDF5File, ImageFile
from lume_services.results import (
    ImpactResult,
    Result,
    describe_error,
    field,
    get_result_from_string,
)

ERROR = {"type": "ValueError", "message": "unstable", "traceback": "..."}


def make(**changes: Any) -> Result:
    values = {"inputs": {"XCOR.VAL": 0.5, "n": 3}, "outputs": {"tune": 0.31}, "flow_id": "f1"}
    return Result(**{**values, **changes})


class Imaging(Result):
    """A subclass as a user writes it."""

    unique_on = ("flow_id", "inputs", "camera")

    camera: str
    screen: Any = None
    taken: datetime | None = None


def test_a_result_comes_back_as_it_was(service: Any) -> None:
    result = make(
        outputs={"tune": 0.31, "orbit": np.arange(5.0), "on": True, "mode": "x", "n": 2**70},
        flow_run_id="run", model_id=1, deployment_id=2, version="1.0",
    )  # fmt: skip
    assert result.id is None
    name = result.insert(service)
    loaded = Result.load_from_query({"_id": name}, service=service)
    assert type(loaded) is Result
    assert loaded.id == result.id == name
    assert loaded.inputs == {"XCOR.VAL": 0.5, "n": 3}
    assert type(loaded.inputs["n"]) is int
    assert list(loaded.outputs) == list(result.outputs)
    assert (loaded.outputs.pop("orbit") == np.arange(5.0)).all()
    assert loaded.outputs == {"tune": 0.31, "on": True, "mode": "x", "n": 2**70}
    for field_name in ("flow_id", "date_modified", "status", "error", "flow_run_id", "model_id"):
        assert getattr(loaded, field_name) == getattr(result, field_name)
    assert (loaded.deployment_id, loaded.version) == (2, "1.0")
    assert (loaded.inputs_hash, loaded.unique_hash) == (result.inputs_hash, result.unique_hash)
    assert loaded == result


def test_storing_a_repeat_returns_the_first_one(service: Any) -> None:
    first, repeat = make(flow_run_id="a"), make(flow_run_id="b")
    assert first.insert(service) == first.insert(service) == repeat.insert(service)
    (document,) = service.find_all("local")
    assert document["flow_run_id"] == "a"


def test_projects_are_collections(service: Any) -> None:
    make().insert(service)
    make(project_name="other").insert(service)
    assert [service.count(name) for name in ("local", "other")] == [1, 1]
    assert Result.load_from_query({}, project_name="other", service=service).flow_id == "f1"


@pytest.mark.parametrize(
    "changes",
    [
        {"flow_id": "f2"},
        {"inputs": {"XCOR.VAL": 0.5, "n": 4}},
        {"inputs": {"XCOR.VAL": 0.5, "n": 3.0}},
        {"outputs": {"tune": 0.32}},
        {"status": "failed", "error": ERROR},
    ],
)
def test_what_makes_another_result(changes: dict[str, Any]) -> None:
    assert make(**changes).unique_hash != make().unique_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {"n": 3, "XCOR.VAL": 0.5}},
        {"inputs": {"n": np.int32(3), "XCOR.VAL": np.float64(0.5)}},
        {"flow_run_id": "another", "model_id": 7, "deployment_id": 8, "version": "2"},
        {"date_modified": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_what_does_not_make_another_result(changes: dict[str, Any]) -> None:
    assert make(**changes).unique_hash == make().unique_hash


def test_the_hash_of_inputs_is_theirs_alone() -> None:
    assert make().inputs_hash == make(flow_id="f2", outputs={}).inputs_hash
    assert make().inputs_hash != make(inputs={}).inputs_hash


def test_failures_of_two_runs_are_two_results(service: Any) -> None:
    failures = [make(status="failed", error=ERROR, outputs={}, flow_run_id=r) for r in "ab"]
    assert len({failure.insert(service) for failure in failures}) == 2
    loaded = Result.load_from_query({"flow_run_id": "a"}, service=service)
    assert loaded.status == "failed"
    assert loaded.error == ERROR


def test_an_array_that_changed_between_hashing_and_storing_is_stored_as_it_is(service: Any) -> None:
    result = make(outputs={"orbit": np.zeros(3)})
    before = result.unique_hash
    result.outputs["orbit"][0] = 1.0
    result.insert(service)
    assert result.unique_hash != before
    assert Result.load_from_query({}, service=service).outputs["orbit"][0] == 1.0


def test_dates_are_utc_in_milliseconds() -> None:
    berlin = timezone(timedelta(hours=2))
    when = datetime(2026, 10, 1, 12, 0, 0, 123999, berlin)
    assert make(date_modified=when).date_modified == datetime(2026, 10, 1, 10, 0, 0, 123000, UTC)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= make().date_modified <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "failed"}, "a failed result has an error"),
        ({"error": ERROR}, "a failed result has an error"),
        ({"status": "failed", "error": {"message": "no type"}}, "error: .* dict of message"),
        ({"status": "running"}, "status: .*'failed', not 'running'"),
        ({"inputs": [1, 2]}, "inputs: a mapping"),
        ({"inputs": None}, "inputs: a mapping .* not None"),
        ({"project_name": ""}, "project_name: .* not ''"),
        ({"outptus": {}}, "outptus: is not one of its fields"),
        (
            {"date_modified": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))},
            "date_modified: .* UTC",
        ),
        ({"date_modified": "yesterday"}, "date_modified: .* not 'yesterday'"),
    ],
)
def test_a_result_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"Result cannot be made: {message}"):
        make(**changes)


def test_a_subclass_says_what_is_missing() -> None:
    with pytest.raises(
        InvalidInputError, match="ImpactResult cannot be made: archive: is missing; pv_coll"
    ):
        ImpactResult(inputs={}, config={})


def test_a_result_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make().flow_id = "f2"


def test_what_cannot_be_stored_is_named(service: Any) -> None:
    with pytest.raises(SerializationError, match=r"^outputs\.beam: .*object"):
        make(outputs={"beam": object()}).insert(service)


def test_none_and_many_are_told_apart(service: Any) -> None:
    with pytest.raises(ResultNotFoundError, match=r"'local'.*f9"):
        Result.load_from_query({"flow_id": "f9"}, service=service)
    for n in range(3):
        make(inputs={"n": n}).insert(service)
    with pytest.raises(AmbiguousError, match=r"^3 results.*unique_hash"):
        Result.load_from_query({"flow_id": "f1"}, service=service)


def test_names_with_dots_can_be_asked_for(service: Any) -> None:
    make(inputs={"XCOR.VAL": 1.0, "twiss": {"beta.x": [1, 2]}}).insert(service)
    make(inputs={"XCOR.VAL": 2.0}).insert(service)
    assert field("inputs", "XCOR.VAL") == "inputs.XCOR%2EVAL"
    found = Result.load_from_query({field("inputs", "XCOR.VAL"): {"$lt": 1.5}}, service=service)
    assert found.inputs["XCOR.VAL"] == 1.0
    query = {field("inputs", "twiss", "beta.x", 1): 2}
    assert Result.load_from_query(query, service=service) == found
    with pytest.raises(SerializationError, match="name"):
        field("inputs", "")


def test_the_least_representation_loads_it_again(service: Any) -> None:
    result = Imaging(inputs={"x": 1.0}, flow_id="f1", camera="A", project_name="imaging")
    result.insert(service)
    representation = result.unique_rep()
    assert representation["result_type_string"].endswith(":Imaging")
    kind = get_result_from_string(representation["result_type_string"])
    assert kind is Imaging
    assert kind.load_from_query(representation["query"], service=service) == result


def test_subclasses_come_back_as_themselves(service: Any) -> None:
    taken = datetime(2026, 10, 1, tzinfo=UTC)
    result = Imaging(
        inputs={"x": 1.0}, outputs={"y": 1.0}, camera="A", screen=np.ones((2, 2)), taken=taken
    )
    result.insert(service)
    for asked in (Result, Imaging):
        loaded = asked.load_from_query({"camera": "A"}, service=service)
        assert isinstance(loaded, Imaging)
        assert loaded.taken == taken
        assert (loaded.screen == 1).all()
    other_output = Imaging(inputs={"x": 1.0}, outputs={"y": 2.0}, camera="A")
    assert other_output.unique_hash == result.unique_hash


def test_a_result_of_another_class_is_refused(service: Any) -> None:
    make().insert(service)
    with pytest.raises(SerializationError, match="is a Result, not a Imaging"):
        Imaging.load_from_query({}, service=service)


def test_what_says_that_results_are_the_same_are_fields() -> None:
    for wrong in ("inptus", "provenance"):
        with pytest.raises(TypeError, match=wrong):
            type("Wrong", (Result,), {"unique_on": ("flow_id", wrong), "__module__": __name__})


@pytest.mark.parametrize(
    "name",
    [
        "lume_services.results:Result",
        "lume_services.results.generic:Result",
        "Result",
    ],
)
def test_a_class_is_found_by_its_name(name: str) -> None:
    assert get_result_from_string(name) is Result


def test_the_impact_result_is_found_by_its_name() -> None:
    for name in ("lume_services.results:ImpactResult", "ImpactResult"):
        assert get_result_from_string(name) is ImpactResult


def test_a_class_made_in_a_function_is_found_while_it_is_there() -> None:
    class Local(Result):
        pass

    assert get_result_from_string("Local") is Local
    assert get_result_from_string(Local(inputs={}).result_type_string) is Local


def test_a_bare_name_of_two_classes_is_ambiguous() -> None:
    kinds = [type("Twice", (Result,), {"__module__": module}) for module in ("one", "two")]
    with pytest.raises(AmbiguousError, match="one:Twice, two:Twice"):
        get_result_from_string("Twice")
    assert get_result_from_string("two:Twice") is kinds[1]


@pytest.mark.parametrize(
    "name",
    [
        "", None, 3, "os:system", "os", "no_such_module:Result", "lume_services.results:frame",
        "lume_services.results:Nothing", "builtins:dict", "__import__('os').system('true')",
        "lume_services.results:Result()", "lume_services.results:Result.insert",
    ],
)  # fmt: skip
def test_what_is_no_result_class_is_refused(name: Any) -> None:
    with pytest.raises(SerializationError):
        get_result_from_string(name)


@pytest.fixture
def shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a result class, which this process has not imported."""
    name = f"lume_shots_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(
        "from lume_services.results import Result\n\n\nclass Shot(Result):\n    camera: str\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def shot_document(module: str) -> dict[str, Any]:
    return {**make().get_db_dict(), "camera": "A", "result_type_string": f"{module}:Shot"}


def test_a_document_does_not_make_the_process_import_anything(service: Any, shots: str) -> None:
    name = service.insert_one("local", shot_document(shots))
    for module in (shots, f"{shots}.below", "this", "no_such_module"):
        document = {**shot_document(shots), "result_type_string": f"{module}:Shot"}
        with pytest.raises(
            SerializationError, match=r"import the module.*'lume_services\.results'"
        ):
            Result.from_document(document)
        assert module not in sys.modules
    with pytest.raises(SerializationError, match="import the module"):
        Result.load_from_query({"_id": name}, service=service)
    assert shots not in sys.modules
    shot = get_result_from_string(f"{shots}:Shot")  # named by the user's own code
    assert type(Result.load_from_query({"_id": name}, service=service)) is shot


def test_a_class_that_an_installed_package_announces_is_imported(
    tmp_path: Path, shots: str
) -> None:
    metadata = tmp_path / f"{shots}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {shots}\nVersion: 1.0\n")
    points = metadata / "entry_points.txt"
    points.write_text(f"[lume_services.results]\nshot = {shots}:Missing\n")
    with pytest.raises(SerializationError, match=f"entry point 'shot'.*{shots}:Missing"):
        Result.from_document(shot_document(shots))
    points.write_text(f"[lume_services.results]\nshot = {shots}:Shot\n")
    del sys.modules[shots]
    result = Result.from_document(shot_document(shots))
    assert type(result).__name__ == "Shot"
    assert result.camera == "A"  # of a class that is made here


def test_the_impact_result_is_known_without_an_import() -> None:
    script = """
        import sys
        from lume_services.results import Result
        assert "lume_services.results.impact" not in sys.modules
        for name in ("lume_services.results:ImpactResult", "ImpactResult"):
            try:
                Result.from_document({"inputs": {}, "result_type_string": name})
            except ValueError as error:
                print(error)
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    ).stdout
    assert output.count("ImpactResult cannot be made: archive") == 2


def test_a_malformed_document_is_refused() -> None:
    good = make().get_db_dict()
    for change in (
        {"inputs": None}, {"inputs": [1]}, {"inputs": {"%bad": 1}}, {"status": "x"},
        {"provenance": {"host": 1}}, {"provenance": 7}, {"error": 3}, {"model_id": "x"},
        {"result_type_string": None}, {"date_modified": None}, {"inputs": {"%kind": "text"}},
        {"inputs": {"%kind": "bigint", "data": "7"}},
    ):  # fmt: skip
        with pytest.raises(SerializationError):
            Result.from_document({**good, **change})


def test_fields_of_later_versions_are_left_alone() -> None:
    assert Result.from_document({**make().get_db_dict(), "mood": "good"}) == make()


def test_impact_results_keep_files_and_configuration(service: Any, tmp_path: Any) -> None:
    result = ImpactResult(
        inputs={"SOL1.B": 0.24},
        outputs={"sigma_x": 1e-4},
        archive=HDF5File(filename=tmp_path / "archive.h5"),
        plot_file=ImageFile(filename=tmp_path / "plot.png"),
        pv_collection_isotime=datetime(2026, 10, 1, 8),
        config={"Nx": 32, "workdir": "/tmp", "space.charge": True},
    )
    result.insert(service)
    loaded = Result.load_from_query(result.unique_rep()["query"], service=service)
    assert isinstance(loaded, ImpactResult)
    assert loaded.archive == result.archive
    assert loaded.plot_file == result.plot_file
    assert loaded.config == result.config
    assert loaded.pv_collection_isotime == datetime(2026, 10, 1, 8, tzinfo=UTC)


def test_the_configured_service_is_used() -> None:
    with pytest.raises(EnvironmentNotConfiguredError):
        make().insert()
    configure()
    name = make(outputs={"image": np.ones(200_000)}).insert()
    loaded = Result.load_from_query({"flow_id": "f1"})
    assert loaded.id == name
    assert loaded.outputs["image"].sum() == 200_000
    assert context.results_db_service().count("local") == 1


def test_results_can_be_copied_and_sent_to_other_processes(service: Any) -> None:
    make(outputs={"image": np.ones(200_000)}).insert(service)
    loaded = Result.load_from_query({}, service=service)
    for copied in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded), loaded.model_copy()):
        assert copied == loaded
        assert copied.id == loaded.id
        assert copied.outputs["image"].sum() == 200_000
    changed = loaded.model_copy(update={"flow_id": "f2"})
    assert changed.id is None
    assert changed.unique_hash != loaded.unique_hash


def test_a_result_is_copied_to_another_database_with_all_it_holds(service: Any) -> None:
    from lume_services.services.results import ResultsDBService
    from lume_services.services.results.memory import MemoryResultsDB

    make(outputs={"image": np.ones(200_000), "tune": 0.3}).insert(service)
    other = ResultsDBService(MemoryResultsDB())
    loaded = Result.load_from_query({}, service=service)
    assert loaded.insert(other) == loaded.id
    there = Result.load_from_query({}, service=other)
    assert there.unique_hash == loaded.unique_hash
    assert there.outputs["image"].sum() == 200_000


def test_errors_are_described_whatever_they_hold() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    try:
        raise ValueError("K1 = 3 \udcff")
    except ValueError as error:
        described = describe_error(error)
    assert described["type"] == "ValueError"
    assert described["message"].startswith("K1 = 3")
    assert "test_errors_are_described" in described["traceback"]
    make(status="failed", error=described).get_db_dict()["error"]["message"].encode()
    assert describe_error(BrokenError())["type"].endswith("BrokenError")


def test_results_show_themselves_in_notebooks(service: Any) -> None:
    result = make(
        inputs={"<b>": 0.123456789},
        outputs={"image": np.ones((400, 500)), "table": pd.DataFrame({"a": [1]}), "s": "<script>"},
        version="1.2",
    )
    shown = result._repr_html_()
    for text in ("&lt;b&gt;", "0.123457", "ndarray float64 (400, 500)", "(1, 1)", "&lt;script&gt;"):
        assert text in shown
    for text in ("success", "1.2", "local", "not stored"):
        assert text in shown
    assert "<script>" not in shown
    result.insert(service)
    service.results_db.read.clear()
    loaded = Result.load_from_query({}, service=service)
    assert "ndarray &lt;f8 (400, 500)" in loaded._repr_html_()
    assert loaded.id in loaded._repr_html_()
    assert not service.results_db.read, "showing a result must not load its blobs"


def test_a_failure_shows() -> None:
    shown = make(status="failed", error={**ERROR, "message": "a < b"})._repr_html_()
    assert "failed" in shown
    assert "ValueError: a &lt; b" in shown


def test_many_values_are_cut_short_in_notebooks() -> None:
    shown = make(outputs={f"x{i}": i for i in range(500)})._repr_html_()
    assert shown.count("<tr>") < 100
    assert "450 more" in shown
