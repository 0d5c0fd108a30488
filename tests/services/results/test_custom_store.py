"""A store of one's own passes the conformance suite and is used like any other."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from tests import own_store
from tests.models import functions
from tests.own_store import FolderDB

from lume_services.config import configure, context
from lume_services.models import Model, grid
from lume_services.testing import ResultsDBConformance


class TestFolder(ResultsDBConformance):
    @pytest.fixture
    def results_db(self, tmp_path: Path) -> FolderDB:
        return FolderDB(tmp_path)


def test_it_is_short() -> None:
    parts = (FolderDB, own_store.tagged, own_store.untagged)
    assert sum(len(inspect.getsource(part).splitlines()) for part in parts) < 80


def test_models_record_into_it_and_find_their_results(tmp_path: Path, lume_home: Path) -> None:
    configure(results_db=FolderDB(tmp_path))
    model = Model.create_model(description="lens")
    model.register(functions.thin_lens, version="1.0")
    result = model.evaluate({"f": 2.0, "x": 1.0})
    assert result.outputs["xp"] == -0.5
    model.sweep(grid(f=[1.0, 2.0, 4.0], x=1.0), max_workers=0)
    assert (tmp_path / "local.jsonl").exists()
    assert not (lume_home / "results.db").exists()
    table = model.get_results_df({"inputs.f": {"$gt": 1}}, sort=[("inputs.f", 1)])
    assert list(table["outputs.xp"]) == [-0.5, -0.25]
    assert table["id"].iloc[0] == result.id
    assert context.results_db_service().count("local") == 3
