"""The filesystem that docs/own-store.md shows keeps the contract."""

from __future__ import annotations

import pytest
from tests.own_filesystem import ArchiveFilesystem

from lume_services.config import configure
from lume_services.files import TextFile
from lume_services.testing import ConfinedFilesystemConformance


class TestArchiveFilesystem(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path):
        return ArchiveFilesystem(tmp_path / "files.db")

    @pytest.fixture
    def another(self, tmp_path):
        return ArchiveFilesystem(tmp_path / "files.db")


def test_a_program_names_it(tmp_path):
    configure(filesystems=[ArchiveFilesystem(tmp_path / "files.db")])
    TextFile(filename="runs/a.txt", filesystem_identifier="archive").write("1")
    assert TextFile(filename="runs/a.txt", filesystem_identifier="archive").read() == "1"
