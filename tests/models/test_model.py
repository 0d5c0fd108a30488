"""A model is registered, evaluated, and its results are found again."""

from __future__ import annotations

import importlib
import linecache
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.errors import (
    AmbiguousError,
    DeploymentNotFoundError,
    FlowNotFoundError,
    InvalidInputError,
    LUMEServicesWarning,
    ModelDBError,
    ModelLoadError,
    ModelNotFoundError,
    SerializationError,
    UnsupportedQueryError,
)
from lume_services.models import Model
from lume_services.results import Result
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
from tests.models import flows, functions, physics


def test_creating_a_model_twice_finds_the_first() -> None:
    one = Model.create_model(description="injector", laboratory="SLAC")
    two = Model.create_model(description="injector", laboratory="SLAC")
    other = Model.create_model(description="injector", laboratory="DESY")
    assert one.model_id == two.model_id != other.model_id


def test_a_model_is_found_by_id_or_description() -> None:
    model = Model.create_model(description="injector")
    assert Model.find("injector").model_id == model.model_id
    assert Model.find(str(model.model_id)).description == "injector"
    with pytest.raises(ModelNotFoundError, match="No model is called 'linac'"):
        Model.find("linac")
    Model.create_model(description="injector", laboratory="DESY")
    with pytest.raises(AmbiguousError, match="2 models are called 'injector'; use the id"):
        Model.find("injector")


def test_variables_are_kept_in_the_registry(quadrupole: Model) -> None:
    again = Model.find("quadrupole")
    assert again.variables["QUAD:K1"]["unit"] == "1/m^2"
    assert again.variables["QUAD:K1"]["value_range"] == [0.1, 10.0]
    assert again.variables["matrix"]["read_only"] is True
    assert again.deployment.entry_point == "tests.models.physics:Quadrupole"


def test_evaluating_records_what_was_run(quadrupole: Model) -> None:
    before = datetime.now(UTC)
    result = quadrupole.evaluate({"QUAD:K1": 4.0})
    (found,) = quadrupole.get_results()
    assert found.id == result.id
    assert found.inputs == {"QUAD:K1": 4.0, "slices": 1, "XCOR.VAL": 0.0}
    assert found.outputs["trace"] == pytest.approx(2 * np.cos(1.0))
    assert np.array_equal(found.outputs["matrix"], result.outputs["matrix"])
    assert (found.status, found.error) == ("success", None)
    assert (found.version, found.project_name) == ("1.0.0", "local")
    assert found.flow_id == quadrupole.flow.flow_id
    assert found.provenance is not None
    assert abs((found.provenance.started - before).total_seconds()) < 60
    assert found.provenance.duration_s >= 0
    assert found.provenance.host


def test_another_process_evaluates_what_was_registered_here(
    quadrupole: Model, lume_home: Path
) -> None:
    code = (
        "from lume_services.config import configure\n"
        "from lume_services.models import Model\n"
        "configure()\n"
        "print(Model.find('quadrupole').evaluate({'QUAD:K1': 9.0}).id)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    (found,) = quadrupole.get_results()
    assert found.id == done.stdout.strip()


def test_the_same_evaluation_is_recorded_once(quadrupole: Model) -> None:
    first = quadrupole.evaluate({"QUAD:K1": 2})
    second = quadrupole.evaluate({"QUAD:K1": 2.0})
    assert first.id == second.id
    (found,) = quadrupole.get_results()
    assert found.flow_run_id == first.flow_run_id


def test_a_wrong_input_is_refused_and_nothing_recorded(quadrupole: Model) -> None:
    with pytest.raises(InvalidInputError, match="outside its range"):
        quadrupole.evaluate({"QUAD:K1": 100.0})
    assert quadrupole.get_results() == []


def test_inputs_are_recorded_as_they_were_given() -> None:
    model = Model.create_model(description="careless")
    model.register(functions.changes_its_inputs, version="1.0")
    beam, apertures = np.ones(3), [1.0]
    result = model.evaluate({"beam": beam, "apertures": apertures})
    assert np.array_equal(beam, np.ones(3))
    assert apertures == [1.0]
    (found,) = model.get_results()
    for inputs in (result.inputs, found.inputs):
        assert np.array_equal(inputs["beam"], np.ones(3))
        assert inputs["apertures"] == [1.0]


def test_an_output_that_cannot_be_kept_is_a_recorded_failure() -> None:
    model = Model.create_model(description="sets")
    model.register(functions.cannot_be_stored, version="1.0")
    with pytest.raises(SerializationError, match="outputs"):
        model.evaluate({"x": 2})
    (found,) = model.get_results()
    assert found.status == "failed"


@pytest.mark.parametrize("inputs", [[1.0], "x=1", 3])
def test_inputs_that_are_no_dictionary_are_refused(quadrupole: Model, inputs: Any) -> None:
    with pytest.raises(InvalidInputError, match="inputs are a dictionary"):
        quadrupole.evaluate(inputs)


def test_names_with_dots_of_a_model_without_variables() -> None:
    model = Model.create_model(description="plain")
    model.register(functions.reads_a_corrector, version="1.0")
    for kick in (0.1, -0.1):
        model.evaluate({"XCOR.VAL": kick})
    (found,) = model.get_results({"inputs.XCOR.VAL": {"$lt": 0}})
    assert found.outputs["BPM.X"] == -0.2
    table = model.get_results_df(sort=[("outputs.BPM.X", 1)])
    assert list(table["outputs.BPM.X"]) == [-0.2, 0.2]


def test_a_failure_is_recorded_and_the_exception_arrives_unchanged() -> None:
    model = Model.create_model(description="limited")
    model.register(functions.fails_above_one, version="1.0")
    with pytest.raises(RuntimeError, match="no solution at x = 2") as caught:
        model.evaluate({"x": 2.0})
    assert "fails_above_one" in "".join(traceback.format_tb(caught.value.__traceback__))
    (found,) = model.get_results()
    assert found.status == "failed"
    assert found.error is not None
    assert found.error["type"] == "RuntimeError"
    assert "no solution at x = 2" in found.error["message"]
    assert "fails_above_one" in found.error["traceback"]
    assert f"Recorded as failed result {found.id}." in caught.value.__notes__


def test_every_failure_is_kept() -> None:
    model = Model.create_model(description="limited")
    model.register(functions.fails_above_one, version="1.0")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            model.evaluate({"x": 2.0})
    assert len(model.get_results({"status": "failed"})) == 2


def test_what_is_defined_in_a_notebook_works_here_and_says_so() -> None:
    model = Model.create_model(description="notebook")
    with pytest.warns(LUMEServicesWarning, match="can be used in this process only"):
        model.register(lambda inputs: {"y": 2 * inputs["x"]}, version="1.0")
    assert model.evaluate({"x": 3}).outputs == {"y": 6}
    assert Model.find("notebook").evaluate({"x": 4}).outputs == {"y": 8}


def test_what_was_defined_in_another_process_says_what_to_do() -> None:
    code = (
        "from lume_services.config import configure\n"
        "from lume_services.models import Model\n"
        "configure()\n"
        "Model.create_model(description='there').register(lambda inputs: inputs, version='1.0')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    with pytest.raises(ModelLoadError, match="registered from a notebook or script"):
        Model.find("there").evaluate({"x": 1})


def test_the_live_version_is_the_one_in_use() -> None:
    model = Model.create_model(description="versions")
    model.register(functions.thin_lens, version="1.0")
    model.register(functions.thin_lens, version="2.0", is_live=False)
    assert Model.find("versions").deployment.version == "1.0"
    fresh = Model.find("versions")
    assert fresh.load_deployment(version="2.0").version == "2.0"
    context.model_db_service().promote(fresh.deployment.deployment_id)
    assert Model.find("versions").deployment.version == "2.0"


def test_without_a_live_version_the_latest_is_in_use() -> None:
    model = Model.create_model(description="versions")
    for version in ("1.10", "1.9"):
        model.register(functions.thin_lens, version=version, is_live=False)
    assert Model.find("versions").deployment.version == "1.10"


def test_a_model_without_deployments_says_so() -> None:
    model = Model.create_model(description="empty")
    with pytest.raises(DeploymentNotFoundError):
        model.evaluate({})
    assert "nothing registered yet" in model._repr_html_()


def test_a_version_that_is_something_else_already_is_refused(quadrupole: Model) -> None:
    with pytest.raises(ModelDBError, match=r"1\.0\.0"):
        quadrupole.register(functions.thin_lens, version="1.0.0")
    assert quadrupole.deployment.entry_point == "tests.models.physics:Quadrupole"


def test_code_that_changed_needs_a_new_version(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "changing_optics.py"
    module.write_text("def optics(inputs):\n    return {'y': 1}\n")
    import changing_optics

    model = Model.create_model(description="changing")
    model.register(changing_optics.optics, version="1.0")
    model.register(changing_optics.optics, version="1.0")
    # Another length, so that the cached bytecode is not taken for current.
    module.write_text("def optics(inputs):\n    return {'y': 22}\n")
    importlib.reload(changing_optics)
    linecache.checkcache()
    with pytest.raises(ModelDBError, match=r"1\.0"):
        model.register(changing_optics.optics, version="1.0")
    model.register(changing_optics.optics, version="1.1")
    assert model.evaluate({"x": 0}).outputs == {"y": 22}


def test_code_that_changed_since_it_was_registered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "edited_optics.py"
    module.write_text("def optics(inputs):\n    return {'y': 1}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = (
        "import sys; from lume_services.config import configure\n"
        "from lume_services.models import Model\n"
        "configure()\n"
        "model = Model.create_model(description='edited')\n"
        "if sys.argv[1] == 'register':\n"
        "    import edited_optics; model.register(edited_optics.optics, version='1.0')\n"
        "model.evaluate({'x': 0})"
    )
    for word, edit in (("register", ""), ("evaluate", "# a remark"), ("evaluate", "    ")):
        module.write_text(module.read_text() + edit)
        command = [sys.executable, "-c", code, word]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "has changed since it was registered" not in done.stderr
    module.write_text("def optics(inputs):\n    return {'y': 22}\n")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "The code of 'edited' 1.0 has changed since it was registered" in done.stderr


def test_a_version_stays_in_its_project(quadrupole: Model) -> None:
    with pytest.raises(ModelDBError, match=r"stored in the project 'local', not in 'other'"):
        quadrupole.register(physics.Quadrupole, version="1.0.0", project_name="other")


def test_a_run_of_a_model_in_another_registry_is_not_mixed_up(
    quadrupole: Model, tmp_path: Path
) -> None:
    elsewhere = ModelDBService(ModelDB(ModelDBConfig(url=f"sqlite:///{tmp_path}/other.db")))
    other = Model.create_model(description="other", service=elsewhere)
    other.register(functions.thin_lens, version="1.0")
    assert other.model_id == quadrupole.model_id
    with pytest.raises(FlowNotFoundError):
        other.run_and_return({"f": 1.0})
    assert quadrupole.get_results() == []


def test_a_model_with_a_flow_of_its_own(lume_home: Path) -> None:
    model = Model.create_model(description="own flow")
    model.register(functions.thin_lens, version="1.0", flow=flows.two_lenses)
    assert Model.find("own flow").run_and_return({"f": 2.0}) == pytest.approx(-0.75e-3)
    assert model.run_and_return({"f": 2.0}, task_name="first")["xp"] == pytest.approx(-0.5e-3)
    with pytest.raises(ModelDBError, match="use a new version"):
        model.register(functions.thin_lens, version="1.0")
    assert model.evaluate({"f": 1.0}).outputs["xp"] == -1e-3


def test_what_a_flow_of_the_models_own_records_is_found(lume_home: Path) -> None:
    model = Model.create_model(description="records itself")
    deployment = model.register(
        functions.thin_lens, version="1.0", project_name="lenses", flow=flows.records_itself
    )
    model.run_and_return({"f": 2.0})
    (result,) = model.get_results()
    assert (result.flow_id, result.project_name) == (model.run_flow.flow_id, "lenses")
    assert (result.deployment_id, result.version) == (deployment.deployment_id, "1.0")
    flows.records_itself(3.0)  # called by nobody who knows of the registry
    assert len(model.get_results()) == 1


def test_a_model_is_made_once_a_process(quadrupole: Model) -> None:
    one, two = Model.find("quadrupole"), Model.find("quadrupole")
    one.evaluate({"QUAD:K1": 1.0})
    two.run_and_return({"QUAD:K1": 2.0})
    assert one._deployed.evaluator is two._deployed.evaluator


def test_results_belong_to_a_version_unless_all_are_wanted() -> None:
    model = Model.create_model(description="versions")
    for version in ("1.0", "2.0"):
        model.register(functions.thin_lens, version=version)
        model.evaluate({"f": 2.0})
    assert [result.version for result in model.get_results()] == ["2.0"]
    everything = model.get_results(all_deployments=True, sort=[("version", 1)])
    assert [result.version for result in everything] == ["1.0", "2.0"]


def test_queries_sort_and_limit(quadrupole: Model) -> None:
    for k1 in (3.0, 1.0, 4.0, 2.0):
        quadrupole.evaluate({"QUAD:K1": k1})
    found = quadrupole.get_results(
        {"inputs.QUAD:K1": {"$gt": 1.0}}, sort=[("inputs.QUAD:K1", -1)], limit=2
    )
    assert [result.inputs["QUAD:K1"] for result in found] == [4.0, 3.0]
    with pytest.raises(UnsupportedQueryError, match=r"\$where"):
        quadrupole.get_results({"$where": "1"})


def test_names_with_dots_are_queried_as_they_are(quadrupole: Model) -> None:
    quadrupole.evaluate({"XCOR.VAL": 0.25})
    quadrupole.evaluate({"XCOR.VAL": -0.25})
    (found,) = quadrupole.get_results({"inputs.XCOR.VAL": {"$gt": 0}})
    assert found.inputs["XCOR.VAL"] == 0.25
    table = quadrupole.get_results_df(sort=[("inputs.XCOR.VAL", 1)])
    assert list(table["inputs.XCOR.VAL"]) == [-0.25, 0.25]


def test_a_table_has_the_right_columns_and_types(quadrupole: Model) -> None:
    for k1 in (1.0, 2.0):
        quadrupole.evaluate({"QUAD:K1": k1})
    table = quadrupole.get_results_df()
    assert {"date_modified", "flow_id", "version", "status"} <= set(table.columns)
    assert table["inputs.QUAD:K1"].dtype == np.float64
    assert table["inputs.slices"].dtype == np.int64
    assert table["outputs.trace"].dtype == np.float64
    assert table["outputs.matrix"].iloc[0].shape == (2, 2)
    assert isinstance(table["date_modified"].dtype, pd.DatetimeTZDtype)


def test_results_go_to_the_store_that_is_configured(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/group.db"
    configure(LUMEServicesSettings(results_db={"url": url}))
    model = Model.create_model(description="elsewhere")
    model.register(functions.thin_lens, version="1.0")
    model.evaluate({"f": 1.0})
    assert (tmp_path / "group.db").exists()
    assert len(model.get_results()) == 1


def test_flow_ids_do_not_depend_on_the_database(tmp_path: Path) -> None:
    ids = []
    for home in ("one", "two"):
        configure(LUMEServicesSettings(home=tmp_path / home))
        if home == "two":
            Model.create_model(description="something else first")
        model = Model.create_model(description="same", laboratory="SLAC")
        model.register(functions.thin_lens, version="1.0")
        ids.append((model.flow.flow_id, model.model_id))
    assert ids[0][0] == ids[1][0]
    assert ids[0][1] != ids[1][1]


def test_a_notebook_shows_the_model_with_its_variables(quadrupole: Model) -> None:
    shown = quadrupole._repr_html_()
    for text in ("quadrupole", "1.0.0", "QUAD:K1", "1/m^2", "Normalised gradient"):
        assert text in shown


def test_a_default_flow_runs_the_model_and_gives_its_result_back(quadrupole: Model) -> None:
    result = quadrupole.run_and_return({"QUAD:K1": 4.0})
    assert isinstance(result, Result)
    assert result.outputs["trace"] == pytest.approx(2 * np.cos(1.0))
    (found,) = quadrupole.get_results()
    assert found.id == result.id


def test_a_run_is_a_handle(quadrupole: Model) -> None:
    run = quadrupole.run({"QUAD:K1": 4.0})
    run.wait(timeout=60)
    assert run.result().outputs["trace"] == pytest.approx(2 * np.cos(1.0))


def test_an_array_output_of_any_size_comes_back(lume_home: Path) -> None:
    model = Model.create_model(description="screen")
    model.register(functions.screen, version="1.0")
    result = model.evaluate({"x": 1})
    (found,) = Model.find("screen").get_results()
    assert np.array_equal(found.outputs["image"], result.outputs["image"])
    assert [path for path in (lume_home / "blobs").rglob("*") if path.is_file()]
