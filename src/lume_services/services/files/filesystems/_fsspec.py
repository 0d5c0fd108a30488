"""Any protocol that fsspec has a filesystem for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal, cast

import fsspec
from fsspec.spec import AbstractFileSystem

from lume_services.services._atomic import TEMPORARY_PREFIX
from lume_services.services.files.filesystems._connection import (
    STALE,
    Connection,
    check_size,
    join,
    temporary_beside,
)

__all__ = ["FsspecConnection"]


class FsspecConnection(Connection):
    """What a filesystem of fsspec does, with uploads that appear as a whole."""

    def __init__(
        self, url: str, options: Mapping[str, Any], *, timeout_s: float, patience_s: float
    ) -> None:
        """See ``Connection``; fsspec has no common way to set times, so its own ones apply."""
        self.fs, root = self.connect(url, options, timeout_s, patience_s)
        self.root = root.rstrip("/")
        # What runs on fsspec's event loop takes calls from several threads, others need not.
        shared = getattr(self.fs, "async_impl", False)
        self._one_thread: AbstractContextManager[Any] = nullcontext() if shared else Lock()
        self._tidied: set[str] = set()

    def connect(
        self, url: str, options: Mapping[str, Any], timeout_s: float, patience_s: float
    ) -> tuple[AbstractFileSystem, str]:
        """Make fsspec's filesystem, and say what it calls the root of ours."""
        # An instance of our own: those that fsspec keeps may be closed, or of another process.
        return cast(
            "tuple[AbstractFileSystem, str]",
            fsspec.url_to_fs(url, skip_instance_cache=True, **options),
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """See ``Connection.turn``; nothing is remembered from earlier calls."""
        with self._one_thread:
            self.fs.invalidate_cache()
            yield

    def kind(self, path: str) -> Literal["file", "folder", "other"] | None:
        """See ``Connection.kind``."""
        try:
            found = self.fs.info(join(self.root, path))["type"]
        except FileNotFoundError as error:
            if self.is_misconfigured(error):
                raise
            return None
        kinds: dict[str, Literal["file", "folder"]] = {"file": "file", "directory": "folder"}
        return kinds.get(found, "other")

    def names(self, path: str) -> Iterable[str]:
        """See ``Connection.names``."""
        folder = join(self.root, path)
        for entry in self.fs.ls(folder, detail=True):
            found = entry["name"].rstrip("/")
            if found == folder.rstrip("/"):
                if path and entry["type"] == "file" and not entry["name"].endswith("/"):
                    raise NotADirectoryError("it is a file")
                continue  # the marker of an empty folder
            yield found.rpartition("/")[2] + ("/" if entry["type"] == "directory" else "")

    def fetch(self, path: str, local: Path) -> None:
        """See ``Connection.fetch``; whether it is of one moment depends on the protocol."""
        self.fs.get_file(join(self.root, path), str(local))

    def store(self, local: Path, path: str) -> None:
        """See ``Connection.store``."""
        target = join(self.root, path)
        temporary = temporary_beside(target)
        try:
            self.fs.put_file(str(local), temporary)
            self.fs.invalidate_cache()
            check_size(local, self.fs.info(temporary)["size"])
            self._move(temporary, target)
        except BaseException:
            with suppress(Exception):
                self.fs.rm_file(temporary)
            raise
        self._tidy(target)

    def make_folder(self, path: str) -> None:
        """See ``Connection.make_folder``."""
        self.fs.makedirs(join(self.root, path), exist_ok=True)

    def delete(self, path: str) -> None:
        """See ``Connection.delete``."""
        self.fs.rm_file(join(self.root, path))

    def _move(self, temporary: str, target: str) -> None:
        if type(self.fs).mv is not AbstractFileSystem.mv:
            self.fs.mv(temporary, target)
        else:  # fsspec's own takes "*" and the like in names for patterns; these do not
            self.fs.cp_file(temporary, target)
            self.fs.rm_file(temporary)

    def _tidy(self, target: str) -> None:
        """Delete what killed writers left in the folder; once a folder is enough."""
        folder = target.rpartition("/")[0]
        if folder in self._tidied:
            return
        self._tidied.add(folder)
        # Others may be tidying too, or the server may not tell how old files are.
        with suppress(Exception):
            for entry in self.fs.ls(folder, detail=True):
                if entry["name"].rpartition("/")[2].startswith(TEMPORARY_PREFIX):
                    age = self.fs.modified(target) - self.fs.modified(entry["name"])
                    if age > STALE:
                        self.fs.rm_file(entry["name"])
