"""Local and mounted filesystems: the common contract, and what is particular to each."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    MissingFileError,
    PathOutsideFilesystemError,
)
from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import LocalFilesystem, MountedFilesystem
from lume_services.services.files.settings import MountedFilesystemConfig
from lume_services.testing.filesystems import ConfinedFilesystemConformance, FilesystemConformance

TEXT = TextSerializer()


class TestLocalConformance(FilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return LocalFilesystem()

    @pytest.fixture
    def another(self, filesystem, tmp_path):
        return LocalFilesystem(tmp_path)


class TestMountedOnHostConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path):
        return MountedFilesystem(
            mount_path=tmp_path / "mount", mount_alias=tmp_path / "not here" / "alias"
        )

    @pytest.fixture
    def another(self, filesystem, tmp_path):
        return MountedFilesystem(
            mount_path=tmp_path / "mount", mount_alias=tmp_path / "not here" / "alias"
        )


class TestMountedInJobConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path):
        (tmp_path / "alias").mkdir()
        return MountedFilesystem(
            mount_path=tmp_path / "not here" / "mount", mount_alias=tmp_path / "alias"
        )

    @pytest.fixture
    def another(self, filesystem, tmp_path):
        return MountedFilesystem(
            mount_path=tmp_path / "not here" / "mount", mount_alias=tmp_path / "alias"
        )


# The local filesystem


def test_local_paths_start_at_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LocalFilesystem().write("a.txt", "1", TEXT)
    assert (tmp_path / "a.txt").read_text() == "1"


def test_local_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    LocalFilesystem().write("~/sub/a.txt", "1", TEXT)
    assert (tmp_path / "sub/a.txt").read_text() == "1"


def test_permissions_of_a_replaced_file_are_kept(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    old = os.umask(0o077)
    try:
        LocalFilesystem().write(str(path), "new", TEXT)
    finally:
        os.umask(old)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_gets_what_the_umask_allows(tmp_path, umask, mode):
    old = os.umask(umask)
    try:
        LocalFilesystem().write(str(tmp_path / "a.txt"), "new", TEXT)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_new_content_of_a_private_file_is_never_readable_by_others(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o600)
    with LocalFilesystem().writing(str(path)) as temporary:
        temporary.write_text("secret")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_the_owner_of_a_replaced_file_is_kept(tmp_path):
    # Only root may give files away; anybody else may choose among their own groups.
    owner = (12345, 23456) if os.geteuid() == 0 else (os.geteuid(), os.getgroups()[-1])
    path = tmp_path / "a.txt"
    path.write_text("old")
    os.chown(path, *owner)
    LocalFilesystem().write(str(path), "new", TEXT)
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o444)
    if os.geteuid() == 0:  # who may write to everything
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(FilesystemError, match="Permission denied"):
        LocalFilesystem().write(str(path), "new", TEXT)
    assert path.read_text() == "old"


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "data/a.txt")
    LocalFilesystem().write(str(tmp_path / "link.txt"), "new", TEXT)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "data/a.txt").read_text() == "new"


def test_deleting_a_link_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    LocalFilesystem().delete(str(tmp_path / "link.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_device_is_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(FilesystemError, match="not an ordinary file"):
        LocalFilesystem().write(str(fifo), "new", TEXT)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_circle_of_links_is_reported(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(FilesystemError):
        LocalFilesystem().write(str(tmp_path / "a"), "1", TEXT)


# The mounted filesystem


@pytest.fixture
def mount(tmp_path):
    """On the host: the path is there, the alias is not."""
    return MountedFilesystem(mount_path=tmp_path / "data", mount_alias="/lume-test-alias")


def test_a_path_means_the_same_file_as_host_job_and_relative_path(tmp_path, mount):
    mount.write("sub/a.txt", "1", TEXT)
    assert mount.read(str(tmp_path / "data/sub/a.txt"), TEXT) == "1"
    assert mount.read("/lume-test-alias/sub/a.txt", TEXT) == "1"
    assert (tmp_path / "data/sub/a.txt").read_text() == "1"


def test_a_path_of_the_host_is_found_inside_a_job(tmp_path):
    alias = tmp_path / "alias"
    alias.mkdir()
    (alias / "a.txt").write_text("1")
    job = MountedFilesystem(mount_path="/home/nobody/data", mount_alias=alias)
    assert job.read("/home/nobody/data/a.txt", TEXT) == "1"
    assert job.read(str(alias / "a.txt"), TEXT) == "1"
    assert job.read("a.txt", TEXT) == "1"
    assert job.resolve("/home/nobody/data/a.txt") == alias / "a.txt"


def test_a_folder_of_the_host_that_is_named_like_the_alias_is_left_alone(tmp_path):
    (tmp_path / "alias").mkdir()
    host = MountedFilesystem(mount_path=tmp_path / "data", mount_alias=tmp_path / "alias")
    host.write("a.txt", "1", TEXT)
    assert (tmp_path / "data/a.txt").exists()
    assert list((tmp_path / "alias").iterdir()) == []


def test_what_is_mounted_at_the_alias_is_used_though_the_path_exists(tmp_path, monkeypatch):
    """A job in an image that happens to have a folder of the same path."""
    (tmp_path / "data").mkdir()
    (tmp_path / "alias").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "alias")
    job = MountedFilesystem(mount_path=tmp_path / "data", mount_alias=tmp_path / "alias")
    job.write(str(tmp_path / "data/a.txt"), "1", TEXT)
    assert (tmp_path / "alias/a.txt").exists()
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        "/lume-test-alias-2/a.txt",
        "/other/lume-test-alias/a.txt",
        "/a.txt",
        "/lume-test-alias/../a.txt",
        "/lume-test-alias/sub/../../etc/passwd",
        "..",
    ],
)
def test_paths_are_matched_by_component_and_may_not_leave(mount, path):
    with pytest.raises(PathOutsideFilesystemError, match="/lume-test-alias in jobs"):
        mount.file_exists(path)


def test_a_sibling_with_the_same_beginning_is_outside(tmp_path, mount):
    (tmp_path / "data-2").mkdir()
    (tmp_path / "data-2/a.txt").write_text("1")
    with pytest.raises(PathOutsideFilesystemError):
        mount.read(str(tmp_path / "data-2/a.txt"), TEXT)


def test_dots_that_stay_inside_are_fine(mount):
    mount.write("sub/../a.txt", "1", TEXT)
    assert mount.list_dir() == ["a.txt"]


def test_links_out_of_the_mount_are_refused(tmp_path, mount):
    (tmp_path / "secret.txt").write_text("1")
    (tmp_path / "data/file.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "data/folder").symlink_to(tmp_path)
    for path in ("file.txt", "folder/secret.txt", "folder/../secret.txt"):
        with pytest.raises(PathOutsideFilesystemError):
            mount.read(path, TEXT)
        with pytest.raises(PathOutsideFilesystemError):
            mount.write(path, "2", TEXT)
    with pytest.raises(PathOutsideFilesystemError):
        mount.list_dir("folder")
    assert (tmp_path / "secret.txt").read_text() == "1"


def test_links_inside_the_mount_are_followed(tmp_path, mount):
    mount.write("a.txt", "1", TEXT)
    (tmp_path / "data/link.txt").symlink_to("a.txt")
    assert mount.read("link.txt", TEXT) == "1"


def test_a_mount_that_is_itself_behind_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mount = MountedFilesystem(mount_path=tmp_path / "link", mount_alias="/lume-test-alias")
    mount.write(str(tmp_path / "link/a.txt"), "1", TEXT)
    assert mount.read(str(tmp_path / "real/a.txt"), TEXT) == "1"


def test_where_one_root_lies_in_the_other_the_inner_one_is_meant(tmp_path):
    """So that a path means the same on the host and in a job."""
    data = tmp_path / "data"
    host = MountedFilesystem(mount_path=data / "lume", mount_alias=data)
    assert host.resolve(str(data / "lume/a.txt")) == data / "lume/a.txt"
    assert host.resolve(str(data / "a.txt")) == data / "lume/a.txt"


def test_settings(tmp_path):
    mount = MountedFilesystem.from_settings(
        MountedFilesystemConfig(
            identifier="scratch", mount_path=tmp_path / "a/b", mount_alias=Path("/lume-test-alias")
        )
    )
    assert mount.identifier == "scratch"
    assert (tmp_path / "a/b").is_dir(), "DirectoryOrCreate is the default"


def test_directory_must_be_there(tmp_path):
    def make():
        return MountedFilesystem(
            mount_path=tmp_path / "data", mount_alias="/lume-test-alias", mount_type="Directory"
        )

    with pytest.raises(ConfigurationError, match=r"'Directory' needs the folder .*data"):
        make()
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    make().write("a.txt", "1", TEXT)


def test_file_must_be_there(tmp_path):
    file = tmp_path / "settings.yml"

    def make():
        return MountedFilesystem(
            mount_path=file, mount_alias="/lume-test-alias.yml", mount_type="File"
        )

    with pytest.raises(ConfigurationError, match="'File' needs the file"):
        make()
    file.write_text("1")
    assert make().read("settings.yml", TEXT) == "1"


def test_file_or_create(tmp_path):
    file = tmp_path / "settings.yml"
    mount = MountedFilesystem(
        mount_path=file, mount_alias="/config/lume.yml", mount_type="FileOrCreate"
    )
    assert file.read_bytes() == b""
    for path in (str(file), "/config/lume.yml", "settings.yml", "lume.yml"):
        mount.write(path, path, TEXT)
        assert file.read_text() == path
    assert mount.list_dir() == ["settings.yml"]
    with pytest.raises(FilesystemError, match="the mount itself"):
        mount.delete("settings.yml")
    before = file.stat().st_mtime_ns
    MountedFilesystem(mount_path=file, mount_alias="/config/lume.yml", mount_type="FileOrCreate")
    assert file.stat().st_mtime_ns == before, "a file that is there is left alone"


def test_a_mount_of_one_file_holds_nothing_else(tmp_path):
    (tmp_path / "other.txt").write_text("1")
    mount = MountedFilesystem(
        mount_path=tmp_path / "a.txt", mount_alias="/lume/a.txt", mount_type="FileOrCreate"
    )
    for path in (
        "other.txt",
        str(tmp_path / "other.txt"),
        "/lume/other.txt",
        "a.txt/b",
        "../other.txt",
    ):
        with pytest.raises(PathOutsideFilesystemError):
            mount.file_exists(path)


@pytest.mark.parametrize("mount_type", ["Directory", "DirectoryOrCreate"])
def test_a_file_is_no_directory_mount(tmp_path, mount_type):
    (tmp_path / "data").write_text("1")
    with pytest.raises(ConfigurationError):
        MountedFilesystem(
            mount_path=tmp_path / "data", mount_alias="/lume-test-alias", mount_type=mount_type
        )


@pytest.mark.parametrize("mount_type", ["File", "FileOrCreate"])
def test_a_folder_is_no_file_mount(tmp_path, mount_type):
    with pytest.raises(ConfigurationError):
        MountedFilesystem(
            mount_path=tmp_path, mount_alias="/lume-test-alias", mount_type=mount_type
        )


def test_unknown_mount_types_and_relative_aliases(tmp_path):
    with pytest.raises(ConfigurationError, match="Directory, DirectoryOrCreate, File"):
        MountedFilesystem(mount_path=tmp_path, mount_alias="/a", mount_type="Socket")
    with pytest.raises(ConfigurationError, match="absolute"):
        MountedFilesystem(mount_path=tmp_path, mount_alias="alias")


def test_errors_of_a_mount_name_it(mount):
    with pytest.raises(MissingFileError, match=r"'a\.txt' on filesystem 'mounted'"):
        mount.read("a.txt", TEXT)
