"""The tasks that flows are made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from lume.variables import NDVariable, ScalarVariable, StrVariable

from lume_services import tasks
from lume_services.config import configure, context
from lume_services.engine import local_run
from lume_services.errors import (
    ConfigurationError,
    EnvironmentNotConfiguredError,
    InvalidInputError,
    ResultNotFoundError,
)
from lume_services.files import HDF5File, TextFile
from lume_services.flows import flow, task
from lume_services.results import Result
from lume_services.services.files import FileService
from lume_services.services.files.filesystems import LocalFilesystem


class TestConfigure:
    def test_it_configures_once(self) -> None:
        with pytest.raises(EnvironmentNotConfiguredError):
            tasks.check_local_execution()
        tasks.configure_lume_services()
        service = context.results_db_service()
        tasks.configure_lume_services()
        assert context.results_db_service() is service, "services in use are left alone"
        assert tasks.check_local_execution() is True

    def test_a_wrong_variable_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LUME_BACKEND", "abacus")
        with pytest.raises(ConfigurationError, match="abacus"):
            tasks.configure_lume_services()

    def test_nothing_of_the_environment_is_logged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(os.environ, "LUME_TEST_SECRET", "hunter2")

        @flow
        def outer() -> None:
            tasks.configure_lume_services()

        run = local_run(outer, {})
        run.execute()
        assert run.logs == []


class TestVariables:
    variables: ClassVar = {
        "charge": ScalarVariable(name="charge", default_value=1.0, value_range=(0, 10), unit="pC"),
        "current": ScalarVariable(name="current"),
        "profile": NDVariable(name="profile", shape=(2,), default_value=np.zeros(2)),
        "mode": StrVariable(name="mode", default_value="fast"),
        "size": ScalarVariable(name="size", read_only=True),
    }

    def test_values_are_checked_and_defaults_filled_in(self) -> None:
        values = tasks.prepare_lume_model_variables(
            {"current": 3.0, "charge": np.float64(2)}, self.variables
        )
        np.testing.assert_array_equal(values.pop("profile"), [0, 0])
        assert values == {"charge": 2.0, "current": 3.0, "mode": "fast"}

    @pytest.mark.parametrize(
        ("value_map", "message"),
        [
            ({"current": 1.0, "chrage": 1.0}, "'chrage' is not an input.* did you mean 'charge'"),
            ({"current": 1.0, "size": 1.0}, "'size' is an output"),
            ({}, "'current' is missing and has no default value"),
            ({"current": 1.0, "charge": 11.0}, r"charge=11\.0.*range"),
            ({"current": 1.0, "charge": "much"}, "charge='much'"),
        ],
    )
    def test_what_is_wrong_is_named(self, value_map: dict[str, object], message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            tasks.prepare_lume_model_variables(value_map, self.variables)

    def test_defaults_that_are_used_are_logged(self) -> None:
        @flow
        def outer() -> object:
            return tasks.prepare_lume_model_variables({"current": 1.0}, self.variables)

        run = local_run(outer, {})
        run.execute()
        assert run.logs[0].message == "Default values are used for: charge, profile, mode"
        assert run.logs[0].task == "prepare_lume_model_variables"


class TestFiles:
    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        configure()
        record = tasks.save_file(
            {"x": np.arange(3.0)}, str(tmp_path / "data.h5"), file_type=HDF5File
        )
        assert record["filename"] == str(tmp_path / "data.h5")
        assert record["filesystem_identifier"] == "local"
        np.testing.assert_array_equal(tasks.load_file(record)["x"], [0, 1, 2])

    def test_a_file_object_needs_nothing_else(self, tmp_path: Path) -> None:
        configure()
        file = TextFile(filename=str(tmp_path / "note.txt"), obj="beam on")
        assert tasks.load_file(tasks.save_file(file)) == "beam on"
        with pytest.raises(TypeError, match="filename and file_type"):
            tasks.save_file("beam on")

    def test_a_service_may_be_given(self, tmp_path: Path) -> None:
        service = FileService([LocalFilesystem()])
        record = tasks.save_file(
            "x", str(tmp_path / "x.txt"), file_type=TextFile, file_service=service
        )
        assert tasks.load_file(record, file_service=service) == "x"


class TestResults:
    def test_what_is_saved_is_loaded(self) -> None:
        configure()
        outputs = {"sigma": {"x": [1.0, 2.0]}, "XCOR.VAL": 3.0}
        rep = tasks.save_db_result(Result(inputs={"q": 1.0}, outputs=outputs))
        assert tasks.load_db_result(rep).outputs["XCOR.VAL"] == 3.0
        assert tasks.load_db_result(rep, ["outputs", "sigma", "x", 1]) == 2.0
        assert tasks.load_db_result(rep, attribute_index=["inputs"]) == {"q": 1.0}
        with pytest.raises(InvalidInputError, match=r"has no 'outputs\.sigma\.y'"):
            tasks.load_db_result(rep, ["outputs", "sigma", "y", 1])
        with pytest.raises(InvalidInputError, match="has no 'output'"):
            tasks.load_db_result(rep, ["output"])

    def test_a_result_that_is_not_there(self) -> None:
        configure()
        rep = Result(inputs={"q": 1.0}).unique_rep()
        with pytest.raises(ResultNotFoundError):
            tasks.load_db_result(rep)

    def test_where_it_was_computed_is_stored_with_it(self) -> None:
        configure()

        @flow
        def outer() -> object:
            said = Result(inputs={"q": 2.0}, flow_run_id="by-hand")
            return tasks.save_db_result(Result(inputs={"q": 1.0})), tasks.save_db_result(said)

        run = local_run(outer, {})
        unsaid, said = map(tasks.load_db_result, run.execute())
        assert unsaid.flow_run_id == run.id
        assert unsaid.provenance is not None
        assert said.flow_run_id == "by-hand"

    def test_a_retried_task_stores_one_result(self) -> None:
        configure()
        result = Result(inputs={"q": 1.0}, outputs={"x": 1.0})
        attempts = []

        @task(retries=1)
        def store() -> None:
            tasks.save_db_result.fn(result)
            attempts.append(1)
            if len(attempts) == 1:
                raise OSError

        store()
        assert context.results_db_service().count("local") == 1


class TestMaking:
    @pytest.mark.parametrize("name", ["SaveFile", "LoadFile", "SaveDBResult", "LoadDBResult"])
    def test_options_are_those_of_tasks_and_timeout(self, name: str) -> None:
        kind = getattr(tasks, name)
        made = kind(timeout=30, retries=2)
        assert (made.timeout_seconds, made.retries) == (30, 2)
        assert kind(timeout_seconds=5).timeout_seconds == 5
        assert kind(name="mine").name == "mine"
        other = made.with_options(name="other")
        assert (type(other), other.name, other.timeout_seconds) == (kind, "other", 30)
        assert made.description, "taken from the function's docstring"

    def test_names_are_those_of_the_functions(self) -> None:
        names = [tasks.save_file, tasks.load_file, tasks.save_db_result, tasks.load_db_result]
        assert [one.name for one in names] == [
            "save_file",
            "load_file",
            "save_db_result",
            "load_db_result",
        ]
        assert tasks.SaveDBResult(timeout=30).name == "save_db_result"
        assert tasks.configure_lume_services.name == "configure_lume_services"

    def test_they_are_found_by_name_in_a_run(self, tmp_path: Path) -> None:
        configure()
        save_image = tasks.SaveFile(name="save_image", timeout=30)

        @flow
        def outer() -> None:
            save_image("x", str(tmp_path / "x.txt"), file_type=TextFile)
            tasks.save_file.submit("y", str(tmp_path / "y.txt"), file_type=TextFile)

        run = local_run(outer, {})
        run.execute()
        assert run.task_results()["save_image"]["filename"].endswith("x.txt")
        assert run.task_results()["save_file"]["filename"].endswith("y.txt")
