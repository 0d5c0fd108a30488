"""What 0.x left on a MongoDB server: listed, and brought over by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lume_services.cli import app
from lume_services.config import configure, context
from lume_services.errors import LegacyDocumentError, LUMEServicesWarning
from lume_services.results import Result, field
from lume_services.services.results import ResultsDBConfig, ResultsDBService
from lume_services.services.results.sqlite import SQLiteResultsDB
from tests.results.originals import WHEN, file_record, original
from tests.results.test_pickles import hostile
from tests.servers import MongoDB

IMAGE = np.arange(300_000.0).reshape(500, 600)


@pytest.fixture
def former(mongodb: MongoDB, mongodb_url: str) -> Iterator[Any]:
    """The database of a group that used 0.x, by PyMongo alone: ids and dates are MongoDB's."""
    with mongodb.client() as client:
        database = client[mongodb_url.rpartition("/")[2].partition("?")[0]]
        for n in range(5):
            outputs = {"orbit": np.arange(9) + n, "image": IMAGE}
            database["impact"].insert_one(original({"QF1": 0.5 * n, "XCOR.VAL": n}, outputs))
        # An earlier release: the collection is named twice, and the file by its record.
        early = original(
            {"x": 1.0},
            {"table": pd.DataFrame({"s": [0.0, 0.5]}), "file": file_record("Text", "a.txt")},
            collection="generic",
        )
        del early["project_name"]
        database["generic"].insert_one(early)
        yield database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUME_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["results", *arguments], catch_exceptions=True)


def test_one_command_brings_all_over(former: Any, mongodb_url: str, home: Path) -> None:
    before = {name: list(former[name].find()) for name in ("impact", "generic")}
    place = f"sqlite:///{home / 'new.db'}"
    done = run("migrate", "--from", mongodb_url, "--to", place, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["migrated"], facts["refused"]) == (6, [])
    assert {name: list(former[name].find()) for name in before} == before
    again = json.loads(run("migrate", "--from", mongodb_url, "--to", place, "--json").stdout)
    assert (again["migrated"], again["already_there"]) == (0, 6)

    store = SQLiteResultsDB.from_settings(ResultsDBConfig(url=place), home=home)
    service = ResultsDBService(store)
    query = {field("inputs", "XCOR.VAL"): 3}
    result = Result.load_from_query(query, project_name="impact", service=service)
    assert result.id == str(before["impact"][3]["_id"])
    assert result.flow_id == before["impact"][3]["flow_id"]
    assert result.date_modified.replace(tzinfo=None) == WHEN
    assert (result.outputs["orbit"] == np.arange(9) + 3).all()
    assert (result.outputs["image"] == IMAGE).all()
    early = Result.load_from_query({}, project_name="generic", service=service)
    assert list(early.outputs["table"]["s"]) == [0.0, 0.5]
    store.close()


def test_what_is_refused_is_named_and_the_exit_code_is_1(
    former: Any, mongodb_url: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "marks").mkdir()
    bad = original({"x": 7.0}, {"y": 1.0})
    bad["outputs"] = {"orbit": bson.Binary(hostile(tmp_path / "marks")["os.system"])}
    bad_id = former["impact"].insert_one(bad).inserted_id
    done = run("migrate", "--from", mongodb_url, "--to", f"sqlite:///{home / 'new.db'}", "--json")
    assert done.exit_code == 1
    facts = json.loads(done.stdout)
    assert facts["migrated"] == 6
    (refused,) = facts["refused"]
    assert (refused["collection"], refused["id"]) == ("impact", str(bad_id))
    assert "'os.system'" in refused["reason"]
    assert not list((tmp_path / "marks").iterdir())
    assert former["impact"].count_documents({"_id": bad_id}) == 1


def test_lists_show_what_there_is_and_one_says_what_to_do(
    former: Any, mongodb_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_RESULTS_DB__URL", mongodb_url)
    with pytest.warns(LUMEServicesWarning, match="6 of the results .* results migrate"):
        listed = run("list", "--json")
    assert listed.exit_code == 0, listed.output
    former_ids = {str(document["_id"]) for document in former["impact"].find()}
    assert former_ids <= {row["id"] for row in json.loads(listed.stdout)}
    shown = run("show", min(former_ids))
    assert isinstance(shown.exception, LegacyDocumentError)
    assert min(former_ids) in str(shown.exception)
    configure()
    with pytest.raises(LegacyDocumentError, match="migrate --from"):
        Result.load_from_query({"inputs.QF1": 0.5}, project_name="impact")
    # New results are stored beside the old ones.
    new = Result(inputs={"x": 1}, project_name="impact").insert()
    assert context.results_db_service().count("impact") == 6
    assert Result.load_from_query({"_id": new}, project_name="impact").inputs == {"x": 1}


def test_passwords_are_refused_on_the_command_line(home: Path) -> None:
    done = run("migrate", "--from", "mongodb://me:secret@host/results")
    assert "secret" not in str(done.exception)
    assert "--from holds a password" in str(done.exception)
