"""Implementations by name: ours from a table, those of other packages by entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from lume_services import plugins
from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.errors import MissingDependencyError, UnknownPluginError

PACKAGE = '''
from lume_services.testing import MemoryResultsDB

class LaboratoryDB(MemoryResultsDB):
    """Remembers how it was made."""

    @classmethod
    def from_settings(cls, config, *, home):
        store = cls()
        store.url = config.url
        return store
'''


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that brings a results store and a backend that cannot be imported."""
    (tmp_path / "laboratory.py").write_text(PACKAGE)
    metadata = tmp_path / "laboratory-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: laboratory\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[lume_services.results_dbs]\nlaboratory = laboratory:LaboratoryDB\n"
        "[lume_services.backends]\ntape = no_such_package.tape:TapeBackend\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_store_of_another_package_is_chosen_by_the_scheme_of_the_url(laboratory: None) -> None:
    assert plugins.names(plugins.RESULTS_DBS) == ["laboratory", "mongodb", "sqlite"]
    configure(LUMEServicesSettings(results_db={"url": "laboratory://vault/1"}))
    service = context.results_db_service()
    assert service.results_db.url == "laboratory://vault/1"
    service.insert_one("local", {"x": 1})
    assert service.count("local") == 1


def test_what_is_chosen_but_not_installed_says_what_is_missing(laboratory: None) -> None:
    configure(LUMEServicesSettings(backend="tape"))
    with pytest.raises(MissingDependencyError, match=r"LUME_BACKEND='tape'.*no_such_package"):
        context.scheduling_service()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        UnknownPluginError,
        match=r"X='y' is not available here\. .*: docker, kubernetes, local, process\.",
    ):
        plugins.load(plugins.BACKENDS, "y", variable="X")


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in (plugins.BACKENDS, plugins.RESULTS_DBS, plugins.FILESYSTEMS)
        for name in plugins.names(group)
    ],
)
def test_everything_in_the_table_can_be_loaded(group: str, name: str) -> None:
    assert isinstance(plugins.load(group, name, variable="X"), type)
