"""The file service: which filesystem is meant, and what it is asked to do."""

from __future__ import annotations

import pytest

from lume_services.config import configure, context
from lume_services.errors import (
    ConfigurationError,
    EnvironmentNotConfiguredError,
    FilesystemNotFoundError,
)
from lume_services.files import TextFile
from lume_services.files.serializers import TextSerializer
from lume_services.services.files import FileService
from lume_services.services.files.filesystems import LocalFilesystem, MountedFilesystem

TEXT = TextSerializer()


@pytest.fixture
def service(tmp_path):
    return FileService(
        [
            LocalFilesystem(),
            MountedFilesystem(mount_path=tmp_path / "mount", mount_alias="/lume-test-alias"),
        ]
    )


def test_every_method_goes_to_the_filesystem_that_is_named(tmp_path, service):
    service.write("mounted", "sub/a.txt", "1", TEXT)
    assert (tmp_path / "mount/sub/a.txt").read_text() == "1"
    assert service.read("mounted", "sub/a.txt", TEXT) == "1"
    assert service.read("local", str(tmp_path / "mount/sub/a.txt"), TEXT) == "1"
    assert service.file_exists("mounted", "sub/a.txt") is True
    assert service.file_exists("mounted", "sub/b.txt") is False
    assert service.dir_exists("mounted", "sub") is True
    service.create_dir("mounted", "other")
    assert service.list_dir("mounted") == ["other/", "sub/"]
    assert service.identifiers == ["local", "mounted"]


def test_an_unknown_filesystem_names_those_known(service):
    with pytest.raises(FilesystemNotFoundError, match=r"'s3'.*local, mounted") as raised:
        service.read("s3", "a.txt", TEXT)
    assert isinstance(raised.value, LookupError)


def test_two_filesystems_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="'local'"):
        FileService([LocalFilesystem(), LocalFilesystem()])


def test_configured_service(tmp_path, monkeypatch):
    monkeypatch.setenv("LUME_MOUNTED_FILESYSTEM__IDENTIFIER", "scratch")
    monkeypatch.setenv("LUME_MOUNTED_FILESYSTEM__MOUNT_PATH", str(tmp_path / "mount"))
    monkeypatch.setenv("LUME_MOUNTED_FILESYSTEM__MOUNT_ALIAS", "/lume-test-alias")
    configure()
    assert context.file_service().identifiers == ["local", "scratch"]
    TextFile(filename="a.txt", filesystem_identifier="scratch").write("1")
    assert (tmp_path / "mount/a.txt").read_text() == "1"


def test_own_filesystems(tmp_path):
    mounted = MountedFilesystem("mine", mount_path=tmp_path, mount_alias="/lume-test-alias")
    configure(filesystems=[mounted])
    assert context.file_service().identifiers == ["mine"]


TAPE = """
from lume_services.services.files.filesystems import Filesystem, LocalFilesystem

class TapeFilesystem(LocalFilesystem):
    @classmethod
    def from_url(cls, identifier, url, options=None):
        return cls(url.removeprefix("tape://"), identifier=identifier)

class UnfinishedFilesystem(Filesystem):
    pass
"""


@pytest.fixture
def tape(tmp_path, monkeypatch):
    """An installed package with filesystems for URLs tape:// and unfinished://."""
    name = f"lume_tape_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(TAPE)
    metadata = tmp_path / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[lume_services.filesystems]\ntape = {name}:TapeFilesystem\n"
        f"unfinished = {name}:UnfinishedFilesystem\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_filesystem_of_another_package_is_chosen_by_its_url(tmp_path, tape, monkeypatch):
    monkeypatch.setenv("LUME_FILESYSTEMS__ARCHIVE__URL", f"tape://{tmp_path}/reel")
    configure()
    TextFile(filename="a.txt", filesystem_identifier="archive").write("1")
    assert (tmp_path / "reel/a.txt").read_text() == "1"


def test_a_filesystem_that_is_not_made_from_a_url_says_so(tape, monkeypatch):
    monkeypatch.setenv("LUME_FILESYSTEMS__ARCHIVE__URL", "unfinished://x")
    configure()
    with pytest.raises(
        ConfigurationError, match=r"UnfinishedFilesystem is not made from a URL.*from_url"
    ):
        context.file_service()


def test_unconfigured():
    with pytest.raises(EnvironmentNotConfiguredError, match=r"file service.*configure\(\)"):
        TextFile(filename="a.txt").write("1")
