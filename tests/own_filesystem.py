"""A filesystem of one's own: seven methods, written from the base class's docstrings."""

from __future__ import annotations

import posixpath
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from lume_services.errors import FilesystemError, MissingFileError, PathOutsideFilesystemError
from lume_services.services.files.filesystems import Filesystem

TABLE = "CREATE TABLE IF NOT EXISTS file (path TEXT PRIMARY KEY, folder TEXT, content BLOB)"


class ArchiveFilesystem(Filesystem):
    """Files inside one SQLite file, each a row; a folder is a row without content."""

    def __init__(self, archive: str | Path, *, identifier: str = "archive") -> None:
        self.archive, self.identifier = Path(archive), identifier
        with closing(sqlite3.connect(self.archive)) as files:
            files.execute("PRAGMA journal_mode = WAL")  # readers and a writer at a time
            files.execute(TABLE)

    @classmethod
    def from_url(cls, identifier, url, options=None):
        return cls(url.removeprefix("archive://"), identifier=identifier)

    @property
    def address(self) -> str:
        return f"archive://{self.archive}"

    @contextmanager
    def reading(self, path: str) -> Iterator[Path]:
        with self._files("read", path) as (files, name):
            content = self._find(files, name)
            if content is None:
                raise self._missing("read", path)
            if content == "folder":
                raise IsADirectoryError("it is a folder")
        with TemporaryDirectory() as folder:
            local = Path(folder, f"file{PurePosixPath(path).suffix}")
            local.write_bytes(content)
            yield local

    @contextmanager
    def writing(self, path: str, *, create_dir: bool = True) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            local = Path(folder, f"file{PurePosixPath(path).suffix}")
            local.touch()
            yield local  # an error of the caller leaves here, and nothing is stored
            with self._files("write", path) as (files, name):
                if self._find(files, name) == "folder":
                    raise IsADirectoryError("it is a folder")
                above = posixpath.dirname(name)
                if not create_dir and self._find(files, above) != "folder":
                    raise self._missing("write", path)
                self._make(files, above)
                row = (name, above, local.read_bytes())
                files.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", row)

    def delete(self, path: str) -> None:
        with self._files("delete", path) as (files, name):
            content = self._find(files, name)
            if content is None:
                raise self._missing("delete", path)
            if content == "folder":
                raise IsADirectoryError("it is a folder")
            files.execute("DELETE FROM file WHERE path = ?", [name])

    def file_exists(self, path: str) -> bool:
        with self._files("look for", path) as (files, name):
            return isinstance(self._find(files, name), bytes)

    def dir_exists(self, path: str) -> bool:
        with self._files("look for", path) as (files, name):
            return self._find(files, name) == "folder"

    def create_dir(self, path: str) -> None:
        with self._files("make", path) as (files, name):
            self._make(files, name)

    def list_dir(self, path: str = "") -> list[str]:
        with self._files("list", path) as (files, name):
            if self._find(files, name) != "folder":
                raise self._missing("list", path)
            query = "SELECT path, content IS NULL FROM file WHERE folder = ?"
            found = files.execute(query, [name])
            return sorted(posixpath.basename(one) + "/" * is_folder for one, is_folder in found)

    @contextmanager
    def _files(self, verb: str, path: str) -> Iterator[tuple[sqlite3.Connection, str]]:
        """One transaction: durable when it is left, undone by an error; and the normal path."""
        name = posixpath.normpath(path)
        name = "" if name == "." else name
        if name.startswith(("/", "../")) or name == "..":
            raise PathOutsideFilesystemError(f"{path!r} is not in {self.address}.")
        if "\0" in name or len(name) > 1000:
            raise FilesystemError(f"{path[:80]!r} is not a path on filesystem {self.identifier!r}.")
        try:
            with closing(sqlite3.connect(self.archive, isolation_level=None)) as files, files:
                files.execute("BEGIN IMMEDIATE" if verb in ("write", "make", "delete") else "BEGIN")
                yield files, name
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, FilesystemError):
                raise
            where = f"{path!r} on filesystem {self.identifier!r}"
            raise FilesystemError(f"Cannot {verb} {where}: {error}.") from error

    def _find(self, files: sqlite3.Connection, name: str) -> bytes | str | None:
        row = files.execute("SELECT content FROM file WHERE path = ?", [name]).fetchone()
        if row is None:
            return None if name else "folder"
        return "folder" if row[0] is None else row[0]

    def _make(self, files: sqlite3.Connection, folder: str) -> None:
        if isinstance(self._find(files, folder), bytes):
            raise NotADirectoryError(f"{folder!r} is a file")
        if self._find(files, folder) is None:
            self._make(files, posixpath.dirname(folder))
            row = (folder, posixpath.dirname(folder))
            files.execute("INSERT INTO file VALUES (?, ?, NULL)", row)

    def _missing(self, verb: str, path: str) -> MissingFileError:
        return MissingFileError(
            f"Cannot {verb} {path!r} on filesystem {self.identifier!r}: missing."
        )
