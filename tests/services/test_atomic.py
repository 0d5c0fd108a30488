"""Files appear as a whole or not at all, and folders made on the way are durable too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lume_services.services._atomic import make_folder, replacing


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which files and folders were brought to the disk, by inode."""
    inodes: list[int] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        inodes.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return inodes


def inodes(*paths: Path) -> list[int]:
    return [path.stat().st_ino for path in paths]


def test_the_content_comes_before_the_name(tmp_path: Path, synced: list[int]) -> None:
    target = tmp_path / "a.csv"
    with replacing(target) as new:
        assert (new.parent, new.suffix) == (tmp_path, ".csv")
        new.write_text("1")
        assert not target.exists()
    assert synced == inodes(target, tmp_path), "in this order"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as new:
            new.write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_at_once_do_not_share_a_file(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    with replacing(target) as one, replacing(target) as other:
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one", "the last to finish wins"


def test_the_names_of_new_folders_are_durable(tmp_path: Path, synced: list[int]) -> None:
    make_folder(tmp_path / "a/b")
    assert synced == inodes(tmp_path, tmp_path / "a")
    make_folder(tmp_path / "a/b")
    assert len(synced) == 2


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="File exists"):
        make_folder(tmp_path / "a/b")


def test_a_folder_that_may_not_be_read_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refused(path: Path, flags: int, *mode: int) -> int:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", refused)
    with replacing(tmp_path / "a") as new:
        new.write_text("1")
    assert (tmp_path / "a").read_text() == "1"
