"""The command line: answers for people and programs, one message for a mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lume_services.config import configure, context
from lume_services.models import Model
from lume_services.results import Result
from tests.commands import Run
from tests.models import flows, functions, physics


@pytest.fixture
def quadrupole(lume_home: object) -> Model:
    configure()
    model = Model.create_model(description="quadrupole", laboratory="test")
    model.register(physics.Quadrupole, version="1.0.0")
    return model


@pytest.fixture
def scanned(quadrupole: Model) -> Model:
    for k1 in (1.0, 2.0, 3.0):
        quadrupole.evaluate({"QUAD:K1": k1})
    return quadrupole


def test_models_are_created_listed_and_shown(run: Run) -> None:
    made = run("models", "create", "--description", "injector", "--laboratory", "SLAC", "--json")
    assert made.json["laboratory"] == "SLAC"
    again = run("models", "create", "--description", "injector", "--laboratory", "SLAC")
    assert again.out.strip() == str(made.json["model_id"])
    (listed,) = run("models", "list", "--json").json
    assert listed == made.json
    shown = run("models", "show", "injector", "--json").json
    assert (shown["model_id"], shown["deployments"]) == (made.json["model_id"], [])


def test_an_empty_registry_is_an_empty_list(run: Run) -> None:
    assert run("models", "list", "--json").json == []
    assert run("models", "list").code == 0


def test_a_model_is_shown_with_its_variables(run: Run, quadrupole: Model) -> None:
    shown = run("models", "show", "quadrupole")
    for text in ("QUAD:K1", "1/m^2", "Normalised gradient", "1.0.0"):
        assert text in shown.out


def test_a_description_of_several_models_lists_them(run: Run) -> None:
    for laboratory in ("SLAC", "DESY"):
        run("models", "create", "--description", "gun", "--laboratory", laboratory)
    done = run("run", "gun")
    assert done.code == 2
    assert "SLAC" in done.err
    assert "DESY" in done.err


def test_versions_are_listed_and_promoted(run: Run, quadrupole: Model) -> None:
    quadrupole.register(physics.Quadrupole, version="2.0", is_live=False)
    versions = run("deployments", "list", "quadrupole", "--json").json
    assert {entry["version"]: entry["is_live"] for entry in versions} == {
        "1.0.0": True,
        "2.0": False,
    }
    assert run("deployments", "promote", "quadrupole", "2.0").code == 0
    assert Model.find("quadrupole").deployment.version == "2.0"


def test_a_run_prints_and_records_its_result(run: Run, quadrupole: Model) -> None:
    done = run("run", "quadrupole", "-p", "QUAD:K1=4", "-p", "XCOR.VAL=1e-3", "--json")
    assert done.json["inputs"] == {"QUAD:K1": 4.0, "slices": 1, "XCOR.VAL": 0.001}
    assert done.json["outputs"]["trace"] == pytest.approx(2 * np.cos(1.0))
    (found,) = quadrupole.get_results()
    assert found.id == done.json["id"]


def test_a_failing_model_is_exit_code_1_without_a_traceback(run: Run) -> None:
    configure()
    model = Model.create_model(description="limited")
    model.register(functions.fails_above_one, version="1.0")
    done = run("run", "limited", "-p", "x=2")
    assert done.code == 1
    assert "no solution at x = 2" in done.err
    assert "Traceback" not in done.err


def test_a_model_that_ends_the_program_is_a_failure(run: Run, lume_home: Path) -> None:
    configure()
    model = Model.create_model(description="quits")
    model.register(functions.gives_up, version="1.0")
    done = run("run", "quits", "-p", "x=2", "--json")
    assert done.code == 1
    assert "SystemExit(4)" in done.err
    assert len(model.get_results({"status": "failed"})) == 1


def test_what_a_flow_of_the_models_own_returns_is_printed(run: Run, lume_home: Path) -> None:
    configure()
    model = Model.create_model(description="own flow")
    model.register(functions.thin_lens, version="1.0", flow=flows.two_lenses)
    assert run("run", "own flow", "-p", "f=2").json == pytest.approx(-0.75e-3)


def test_a_model_of_which_nothing_is_registered_has_no_results(run: Run) -> None:
    run("models", "create", "--description", "empty")
    assert run("results", "list", "empty", "--json").json == []
    assert run("deployments", "list", "empty", "--json").json == []


def test_a_deployment_without_a_flow_is_shown_and_promoted(run: Run) -> None:
    run("models", "create", "--description", "packaged")
    context.model_db_service().store_deployment(1, "1.0", source="/packages/model-1.0.tar.gz")
    assert run("deployments", "promote", "packaged", "1.0").code == 0
    assert run("models", "show", "packaged", "--json").json["deployments"][0]["is_live"] is True


def test_large_values_are_not_read_to_list_results(run: Run, lume_home: Path) -> None:
    configure()
    model = Model.create_model(description="screen")
    model.register(functions.screen, version="1.0")
    model.evaluate({"x": 1})
    for blob in (lume_home / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    (row,) = run("results", "list", "screen", "--json").json
    assert "512" in row["outputs.image"]


def test_what_a_table_has_no_room_for_is_named(run: Run) -> None:
    configure()
    Result(flow_id="f", inputs={"x": 1}, outputs={"twiss": {"beta": [1.5, 2.5]}}).insert()
    done = run("results", "list")
    assert ("twiss" in done.out, "Not in the table: twiss" in done.err) == (False, True)


def test_a_sweep_over_a_grid(run: Run, quadrupole: Model) -> None:
    done = run(
        *("sweep", "quadrupole", "--grid", "QUAD:K1=1:2:3", "--grid", "slices=1,2"),
        *("--workers", "1", "--json"),
    )
    assert [row["inputs.QUAD:K1"] for row in done.json] == [1.0, 1.0, 1.5, 1.5, 2.0, 2.0]
    assert len(quadrupole.get_results()) == 6


def test_results_are_listed_newest_first(run: Run, scanned: Model) -> None:
    rows = run("results", "list", "quadrupole", "--limit", "2", "--json").json
    assert [row["inputs.QUAD:K1"] for row in rows] == [3.0, 2.0]
    query = '{"inputs.QUAD:K1": {"$lt": 2}}'
    (row,) = run("results", "list", "quadrupole", "--query", query, "--json").json
    assert row["inputs.QUAD:K1"] == 1.0


def test_results_of_a_project_and_of_all(run: Run, scanned: Model) -> None:
    Result(inputs={"x": 1}, outputs={"x": [1, 2]}, project_name="studies").insert()
    assert len(run("results", "list", "--json").json) == 4
    (row,) = run("results", "list", "--project", "studies", "--json").json
    assert (row["inputs.x"], row["outputs.x"]) == (1, [1, 2])
    assert run("results", "list", "--project", "none", "--json").json == []
    assert run("results", "list").code == 0
    assert run("results", "list", "quadrupole", "--project", "studies").code == 2


def test_documents_that_are_no_results_of_ours_are_listed_too(run: Run) -> None:
    configure()
    context.results_db_service().insert_one("notes", {"inputs": {"x": 1}})
    Result(inputs={"x": 2}).insert()
    rows = run("results", "list", "--json").json
    assert [row["inputs.x"] for row in rows] == [2, 1]


def test_a_table_says_what_is_the_same_in_all_rows(run: Run, scanned: Model) -> None:
    done = run("results", "list", "quadrupole")
    assert "QUAD:K1" in done.out
    assert "slices=1" in done.err


def test_one_result_is_shown_by_the_beginning_of_its_id(run: Run, scanned: Model) -> None:
    (result,) = scanned.get_results({"inputs.QUAD:K1": 2.0})
    done = run("results", "show", str(result.id)[:20], "--json")
    assert done.json["id"] == result.id
    assert done.json["inputs"]["QUAD:K1"] == 2.0
    assert done.json["provenance"]["host"]
    assert run("results", "show", "no-such-id").code == 2


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_results_are_exported(run: Run, scanned: Model, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"scan.{suffix}"
    assert run("results", "export", "quadrupole", str(file)).code == 0
    table = getattr(pd, f"read_{suffix}")(file)
    assert sorted(table["inputs.QUAD:K1"]) == [1.0, 2.0, 3.0]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_arrays_and_frames_are_exported_in_full(run: Run, lume_home: Path, tmp_path: Path) -> None:
    configure()
    model = Model.create_model(description="shapes")
    model.register(functions.arrays_and_frames, version="1.0")
    model.evaluate({"x": 1.0})
    wave = np.arange(5000.0)
    done = run("results", "export", "shapes", str(tmp_path / "t.csv"))
    assert "Left out, as a table cannot hold them: outputs.raw" in done.err
    row = pd.read_csv(tmp_path / "t.csv").iloc[0]
    assert np.array_equal(json.loads(row["outputs.wave"]), wave)
    assert json.loads(row["outputs.twiss"]) == {"name": ["QF1", "QD2"], "beta": [1.5, 2.5]}
    run("results", "export", "shapes", str(tmp_path / "t.parquet"))
    assert np.array_equal(pd.read_parquet(tmp_path / "t.parquet")["outputs.wave"].iloc[0], wave)
    run("results", "export", "shapes", str(tmp_path / "t.json"))
    (row,) = json.loads((tmp_path / "t.json").read_text())
    assert row["outputs.twiss"]["beta"] == [1.5, 2.5]
    assert run("results", "list", "shapes").code == 0
    assert run("results", "plot", "shapes", "x", "wave").code == 2


def test_results_are_plotted(run: Run, scanned: Model, tmp_path: Path) -> None:
    picture = tmp_path / "scan.png"
    assert run("results", "plot", "quadrupole", "QUAD:K1", "trace", "-o", str(picture)).code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    done = run("results", "plot", "quadrupole", "QUAD:K1", "trase", "-o", str(picture))
    assert done.code == 2
    assert "did you mean 'trace'" in done.err


def test_blobs_without_a_result_are_collected(run: Run, lume_home: Path) -> None:
    configure()
    model = Model.create_model(description="screen")
    model.register(functions.screen, version="1.0")
    result = model.evaluate({"x": 1})
    service = context.results_db_service()
    service.delete("local", [str(result.id)])
    assert run("results", "gc").code == 0
    blobs = lume_home / "blobs"
    assert [path for path in blobs.rglob("*") if path.is_file()]
    assert run("results", "gc", "--older-than", "0").code == 0
    assert not [path for path in blobs.rglob("*") if path.is_file()]


def test_the_configuration_is_shown_with_secrets_masked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_MODEL_DB__URL", "mysql://u:hunter2@h/d")
    shown = run("config", "show")
    assert "LUME_MODEL_DB__URL" in shown.out
    assert "hunter2" not in shown.out + shown.err
    assert run("config", "show", "--json").json["LUME_MODEL_DB__PASSWORD"] == "**********"
    assert "hunter2" not in run("config", "env").out
    assert "LUME_MODEL_DB__PASSWORD='hunter2'" in run("config", "env", "--secrets").out


def test_the_environment_that_is_printed_can_be_read_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUME_HOME", "/data/it's a \\ folder")
    file = tmp_path / "lume.env"
    file.write_text(run("config", "env").out)
    monkeypatch.delenv("LUME_HOME")
    monkeypatch.setenv("LUME_ENV_FILE", str(file))
    assert run("config", "show", "--json").json["LUME_HOME"] == "/data/it's a \\ folder"


def test_every_variable_is_listed(run: Run) -> None:
    names = {entry["name"] for entry in run("config", "variables", "--json").json}
    assert {"LUME_BACKEND", "LUME_RESULTS_DB__URL", "LUME_ENV_FILE"} <= names
    assert "LUME_RESULTS_DB__AUTHMECHANISM" in run("config", "variables").out


def test_the_schema_of_the_registry(run: Run) -> None:
    revisions = run("db", "current", "--json").json
    assert run("db", "upgrade").code == 0
    assert run("db", "current", "--json").json["current"] == revisions["wanted"]


def test_files_and_filesystems(run: Run, lume_home: Path) -> None:
    from lume_services.files import TextFile

    configure()
    TextFile(filename="notes/a.txt", obj="text").write()
    assert run("files", "list", "notes", "--json").json == ["a.txt"]
    assert run("files", "filesystems", "--json").json[0]["identifier"] == "local"
    assert run("files", "list", "nowhere").code == 2


def test_files_before_any_is_written(run: Run) -> None:
    assert run("files", "list", "--json").json == []


MISTAKES: list[tuple[Sequence[str], str]] = [
    (("run", "nothing"), "No model is called 'nothing'"),
    (("models", "show", "99"), "99"),
    (("run", "quadrupole", "-p", "QUAD:K2=1"), "did you mean 'QUAD:K1'?"),
    (("run", "quadrupole", "-p", "QUAD:K1=99"), "outside its range"),
    (("run", "quadrupole", "-p", "QUAD:K1"), "write NAME=VALUE"),
    (("run", "quadrupole", "--version", "9.9"), "9.9"),
    (("sweep", "quadrupole", "--grid", "QUAD:K1=1:2"), "START:STOP:COUNT"),
    (("sweep", "quadrupole", "--grid", "x=1,2"), "'x' is not an input"),
    (("results", "list", "quadrupole", "--query", "{"), "--query is not JSON"),
    (("results", "list", "quadrupole", "--query", '{"$where": "1"}'), "$where"),
    (("results", "export", "quadrupole", "scan.xlsx"), ".parquet"),
    (("results", "export", "quadrupole", "/no/such/folder/scan.csv"), "cannot be written"),
    (("deployments", "promote", "quadrupole", "9.9"), "9.9"),
    (("files", "list", "--filesystem", "tape"), "tape"),
    (("sweep", "quadrupole", "--grid", "QUAD:K1=1:2:0"), "START:STOP:COUNT"),
    (("sweep", "quadrupole", "--grid", "slices=1,2", "--grid", "slices=3"), "given twice"),
    (
        ("sweep", "quadrupole", "--grid", "slices=1,2", "--workers", "-1"),
        "greater than or equal to 0",
    ),
    (("results", "plot", "quadrupole", "QUAD:K1", "trace"), "There are no results to plot"),
    (("nonsense",), "No such command"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_message_and_exit_code_2(
    run: Run, quadrupole: Model, arguments: Sequence[str], message: str
) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.out + done.err


def test_a_wrong_variable_is_a_mistake_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_BACKEND", "abacus")
    done = run("models", "list")
    assert done.code == 2
    assert (
        "LUME_BACKEND='abacus' is not available here. Available: docker, kubernetes, local"
        in done.err
    )


def test_a_mistyped_variable_is_a_warning_and_json_stays_json(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_HOMES", "/data")
    monkeypatch.setattr("warnings.filters", [])
    done = run("models", "list", "--json")
    assert done.json == []
    assert "Warning: LUME_HOMES is not read by LUME-services. Did you mean LUME_HOME?" in done.err


def test_it_is_installed_under_its_name() -> None:
    command = Path(sys.executable).with_name("lume-services")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0
    assert "sweep" in done.stdout
