"""What every ``Filesystem`` has to do, as tests that its author runs on it.

Subclass the suite in a test module and supply the filesystem::

    class TestMyFilesystem(ConfinedFilesystemConformance):
        @pytest.fixture
        def filesystem(self):
            return MyFilesystem(...)          # empty, and this test's own

        @pytest.fixture
        def another(self, filesystem):
            return MyFilesystem(...)          # the same files, as another process sees them

Needs pytest.
"""
# ruff: noqa: D102 (the name of a test says what it is about)

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lume_services.errors import (
    FilesystemError,
    LUMEServicesError,
    MissingFileError,
    PathOutsideFilesystemError,
)
from lume_services.services.files.filesystems import Filesystem

__all__ = ["ConfinedFilesystemConformance", "FilesystemConformance"]


class _Bytes:
    """Bytes, written in two parts so that there is a moment when half of them is there."""

    def serialize(self, filename: str, content: bytes) -> None:
        half = len(content) // 2
        with Path(filename).open("wb") as file:
            file.write(content[:half])
            file.flush()
            file.write(content[half:])

    def deserialize(self, filename: str) -> bytes:
        return Path(filename).read_bytes()


class _Failing:
    """A serializer that fails when half of the file is written."""

    def serialize(self, filename: str, content: bytes) -> None:
        Path(filename).write_bytes(content[: len(content) // 2])
        raise ZeroDivisionError("while writing")

    def deserialize(self, filename: str) -> Any:
        raise ZeroDivisionError("while reading")


_BYTES = _Bytes()

_NAMES = (
    *(" a b ", "ünï磁石.txt", "XCOR:LI21:1.VAL", "a", ".a", "#?&", "[a]*.txt", "100%a%20b+c.txt"),
    *("a\\b", "'\"$(a)", "a?versionId=1", "-rf", "x::y", "..."),
)


class FilesystemConformance:
    """The contract of ``Filesystem``. Paths are relative to the filesystem's root."""

    @pytest.fixture
    def filesystem(self) -> Filesystem:
        """An empty filesystem of this test's own."""
        raise NotImplementedError

    @pytest.fixture
    def another(self, filesystem: Filesystem) -> Filesystem:
        """A second instance for the same files, as another process would have it."""
        raise NotImplementedError

    def test_identifier(self, filesystem: Filesystem) -> None:
        assert isinstance(filesystem.identifier, str)
        assert filesystem.identifier

    def test_address(self, filesystem: Filesystem, another: Filesystem) -> None:
        assert filesystem.address == another.address == str(filesystem)

    @pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)) * 5000])
    def test_reads_what_was_written(self, filesystem: Filesystem, content: bytes) -> None:
        filesystem.write("a.bin", content, _BYTES)
        assert filesystem.read("a.bin", _BYTES) == content

    def test_any_name(self, filesystem: Filesystem) -> None:
        for path in _NAMES:
            filesystem.write(path, path.encode(), _BYTES)
            filesystem.write(f"{path}.d/{path}", b"2", _BYTES)
            assert filesystem.list_dir(f"{path}.d") == [path]
        assert filesystem.list_dir() == sorted([*_NAMES, *(f"{path}.d/" for path in _NAMES)])
        for path in _NAMES:
            filesystem.delete(f"{path}.d/{path}")
            assert filesystem.read(path, _BYTES) == path.encode()

    def test_replaces_a_longer_file(self, filesystem: Filesystem) -> None:
        filesystem.write("a.txt", b"long" * 100, _BYTES)
        filesystem.write("a.txt", b"short", _BYTES)
        assert filesystem.read("a.txt", _BYTES) == b"short"
        assert filesystem.list_dir() == ["a.txt"]

    def test_local_paths_keep_the_suffix(self, filesystem: Filesystem) -> None:
        with filesystem.writing("run.h5") as path:
            assert path.suffix == ".h5"
            assert path.read_bytes() == b""
            path.write_bytes(b"1")
        with filesystem.reading("run.h5") as path:
            assert path.suffix == ".h5"
            assert path.read_bytes() == b"1"

    def test_makes_folders(self, filesystem: Filesystem) -> None:
        filesystem.write("runs/2026/a.txt", b"1", _BYTES)
        assert filesystem.read("runs/2026/a.txt", _BYTES) == b"1"
        assert filesystem.dir_exists("runs/2026")

    def test_makes_no_folders_when_told_not_to(self, filesystem: Filesystem) -> None:
        with pytest.raises(MissingFileError, match=r"runs/a\.txt"):
            filesystem.write("runs/a.txt", b"1", _BYTES, create_dir=False)
        assert not filesystem.dir_exists("runs")
        filesystem.create_dir("runs")
        filesystem.write("runs/a.txt", b"1", _BYTES, create_dir=False)
        assert filesystem.file_exists("runs/a.txt")

    def test_exists_tells_files_from_folders(self, filesystem: Filesystem) -> None:
        filesystem.write("runs/a.txt", b"1", _BYTES)
        assert filesystem.file_exists("runs/a.txt") is True
        assert filesystem.dir_exists("runs/a.txt") is False
        assert filesystem.file_exists("runs") is False
        assert filesystem.dir_exists("runs") is True
        assert filesystem.file_exists("other") is False
        assert filesystem.dir_exists("other") is False

    def test_a_folder_may_be_made_twice(self, filesystem: Filesystem) -> None:
        filesystem.create_dir("a/b")
        filesystem.write("a/b/c.txt", b"1", _BYTES)
        filesystem.create_dir("a/b")
        assert filesystem.file_exists("a/b/c.txt")

    def test_a_folder_does_not_replace_a_file(self, filesystem: Filesystem) -> None:
        filesystem.write("a", b"1", _BYTES)
        with pytest.raises(FilesystemError):
            filesystem.create_dir("a")
        assert filesystem.read("a", _BYTES) == b"1"

    def test_a_file_does_not_replace_a_folder(self, filesystem: Filesystem) -> None:
        filesystem.write("a/b.txt", b"1", _BYTES)
        with pytest.raises(FilesystemError):
            filesystem.write("a", b"1", _BYTES)
        assert filesystem.read("a/b.txt", _BYTES) == b"1"
        assert filesystem.list_dir() == ["a/"]

    def test_a_file_is_no_folder(self, filesystem: Filesystem) -> None:
        filesystem.write("a", b"1", _BYTES)
        for use in (
            lambda: filesystem.write("a/b.txt", b"1", _BYTES),
            lambda: filesystem.write("a/b/c.txt", b"1", _BYTES),
            lambda: filesystem.create_dir("a/b"),
            lambda: filesystem.list_dir("a"),
        ):
            with pytest.raises(FilesystemError):
                use()
        assert not filesystem.file_exists("a/b.txt")
        assert not filesystem.dir_exists("a/b")
        assert filesystem.list_dir() == ["a"]

    def test_the_root_is_a_folder(self, filesystem: Filesystem) -> None:
        assert filesystem.dir_exists("")
        assert not filesystem.file_exists("")
        filesystem.create_dir("")
        with pytest.raises(FilesystemError):
            filesystem.write("", b"1", _BYTES)

    def test_another_instance_sees_every_change_at_once(
        self, filesystem: Filesystem, another: Filesystem
    ) -> None:
        for number in range(3):
            filesystem.write(f"sub{number}/a.txt", b"1", _BYTES)
            assert another.file_exists(f"sub{number}/a.txt")
            assert another.list_dir(f"sub{number}") == ["a.txt"]
            another.write(f"sub{number}/a.txt", b"22", _BYTES)
            another.write(f"sub{number}/b.txt", b"1", _BYTES)
            assert filesystem.read(f"sub{number}/a.txt", _BYTES) == b"22"
            assert filesystem.list_dir(f"sub{number}") == ["a.txt", "b.txt"]
            filesystem.delete(f"sub{number}/a.txt")
            assert not another.file_exists(f"sub{number}/a.txt")
            assert another.list_dir(f"sub{number}") == ["b.txt"]
            with pytest.raises(MissingFileError):
                another.read(f"sub{number}/a.txt", _BYTES)
            assert len(another.list_dir()) == number + 1

    def test_threads_write_into_a_new_folder_at_once(self, filesystem: Filesystem) -> None:
        def write(number: int) -> bytes:
            path = f"new/deeper/{number}.txt"
            filesystem.write(path, b"%d" % number, _BYTES)
            return bytes(filesystem.read(path, _BYTES))

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(write, range(16))) == [b"%d" % number for number in range(16)]
        assert len(filesystem.list_dir("new/deeper")) == 16

    def test_lists_one_folder(self, filesystem: Filesystem) -> None:
        assert filesystem.list_dir() == []
        for path in ("b.txt", "a.txt", "sub/c.txt", "sub/deeper/d.txt"):
            filesystem.write(path, b"1", _BYTES)
        assert filesystem.list_dir() == ["a.txt", "b.txt", "sub/"]
        assert filesystem.list_dir("sub") == ["c.txt", "deeper/"]

    def test_missing_files_and_folders(self, filesystem: Filesystem) -> None:
        with pytest.raises(FileNotFoundError, match=filesystem.identifier) as raised:
            filesystem.read("a.txt", _BYTES)
        assert isinstance(raised.value, MissingFileError)
        with pytest.raises(MissingFileError, match=r"a\.txt"), filesystem.reading("a.txt"):
            pass
        with pytest.raises(MissingFileError):
            filesystem.list_dir("sub")

    def test_a_folder_cannot_be_read(self, filesystem: Filesystem) -> None:
        filesystem.create_dir("sub")
        with pytest.raises(FilesystemError):
            filesystem.read("sub", _BYTES)

    def test_a_failed_write_leaves_the_old_file(self, filesystem: Filesystem) -> None:
        filesystem.write("a.txt", b"old", _BYTES)
        with pytest.raises(ZeroDivisionError, match="while writing"):
            filesystem.write("a.txt", b"new content", _Failing())
        assert filesystem.read("a.txt", _BYTES) == b"old"
        assert filesystem.list_dir() == ["a.txt"]

    def test_a_failed_write_leaves_no_new_file(self, filesystem: Filesystem) -> None:
        with pytest.raises(ZeroDivisionError):
            filesystem.write("a.txt", b"new content", _Failing())
        assert not filesystem.file_exists("a.txt")
        assert filesystem.list_dir() == []

    def test_deletes_a_file(self, filesystem: Filesystem) -> None:
        filesystem.create_dir("sub")
        for path in ("sub/a.txt", "sub/b.txt"):
            filesystem.write(path, b"1", _BYTES)
            filesystem.delete(path)
            assert not filesystem.file_exists(path)
        assert filesystem.list_dir("sub") == []
        assert filesystem.list_dir() == ["sub/"]
        with pytest.raises(MissingFileError, match=r"sub/a\.txt"):
            filesystem.read("sub/a.txt", _BYTES)

    def test_deletes_only_what_it_was_told_to(self, filesystem: Filesystem) -> None:
        for path in ("a", "a.txt", "a2/b.txt"):
            filesystem.write(path, b"1", _BYTES)
        filesystem.delete("a")
        assert filesystem.list_dir() == ["a.txt", "a2/"]

    def test_deletes_neither_folders_nor_what_is_not_there(self, filesystem: Filesystem) -> None:
        filesystem.write("sub/a.txt", b"1", _BYTES)
        with pytest.raises(MissingFileError, match=r"'b\.txt' on filesystem"):
            filesystem.delete("b.txt")
        with pytest.raises(MissingFileError):
            filesystem.delete("other/b.txt")
        for path in ("sub", ""):
            with pytest.raises(FilesystemError) as raised:
                filesystem.delete(path)
            assert not isinstance(raised.value, MissingFileError)
        assert filesystem.file_exists("sub/a.txt")

    def test_an_unfinished_file_is_not_seen(self, filesystem: Filesystem) -> None:
        filesystem.write("a.txt", b"old", _BYTES)
        with filesystem.writing("a.txt") as path:
            path.write_bytes(b"ne")
            assert filesystem.read("a.txt", _BYTES) == b"old"
            assert filesystem.list_dir() == ["a.txt"]
        assert filesystem.read("a.txt", _BYTES) == b"ne"

    def test_an_error_of_the_caller_goes_on_unchanged(self, filesystem: Filesystem) -> None:
        filesystem.write("a.txt", b"old", _BYTES)
        error = FileNotFoundError("the program to run")
        with pytest.raises(FileNotFoundError) as raised, filesystem.writing("a.txt"):
            raise error
        assert raised.value is error
        with pytest.raises(FileNotFoundError) as raised, filesystem.reading("a.txt"):
            raise error
        assert raised.value is error

    def test_an_error_of_the_serializer_names_the_file(self, filesystem: Filesystem) -> None:
        class DiskFull(_Bytes):
            def serialize(self, filename: str, content: bytes) -> None:
                raise OSError(28, "No space left on device")

        with pytest.raises(FilesystemError, match=r"a\.txt.*No space left on device"):
            filesystem.write("a.txt", b"1", DiskFull())

    def test_readers_see_whole_files_while_writers_replace_them(
        self, filesystem: Filesystem, another: Filesystem
    ) -> None:
        contents = [bytes([digit]) * 200_000 for digit in range(3)]
        filesystem.write("a.bin", contents[0], _BYTES)
        done = threading.Event()
        failures: list[BaseException] = []

        def write(content: bytes) -> None:
            try:
                while not done.is_set():
                    another.write("a.bin", content, _BYTES)
            except BaseException as error:
                failures.append(error)

        writers = [threading.Thread(target=write, args=(content,)) for content in contents[1:]]
        for writer in writers:
            writer.start()
        try:
            seen = [filesystem.read("a.bin", _BYTES) for _ in range(50)]
        finally:
            done.set()
            for writer in writers:
                writer.join()
        assert not failures
        assert all(content in contents for content in seen)
        assert filesystem.list_dir() == ["a.bin"]

    @pytest.mark.parametrize("path", ["nul\0.txt", "a" * 5000])
    def test_what_cannot_be_a_path_is_refused_clearly(
        self, filesystem: Filesystem, path: str
    ) -> None:
        with pytest.raises(LUMEServicesError):
            filesystem.write(path, b"1", _BYTES)
        assert filesystem.list_dir() == []


class ConfinedFilesystemConformance(FilesystemConformance):
    """The contract of a ``Filesystem`` that does not hold all the files there are."""

    @pytest.mark.parametrize("path", ["..", "../a.txt", "sub/../../a.txt", "../../../../a.txt"])
    def test_nothing_outside_is_reached(self, filesystem: Filesystem, path: str) -> None:
        filesystem.create_dir("sub")
        for use in (
            lambda: filesystem.read(path, _BYTES),
            lambda: filesystem.write(path, b"1", _BYTES),
            lambda: filesystem.delete(path),
            lambda: filesystem.file_exists(path),
            lambda: filesystem.dir_exists(path),
            lambda: filesystem.create_dir(path),
            lambda: filesystem.list_dir(path),
        ):
            with pytest.raises(PathOutsideFilesystemError):
                use()
