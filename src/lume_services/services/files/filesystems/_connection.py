"""A connection to a file server, by any filesystem of fsspec.

What differs from protocol to protocol stands in subclasses of ``Connection``, and which protocol
has one in ``connection_class``:

========== ======================================= ==============================================
protocol   is written how, so that it is whole     folders are
========== ======================================= ==============================================
sftp, ssh  temporary file, fsync, posix-rename     folders
s3, s3a    one PUT, or one completed upload        prefixes of keys; a marker for an empty one
all other  temporary file, then the protocol's mv  what fsspec's filesystem makes of them
========== ======================================= ==============================================
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, ClassVar, Literal, cast

import fsspec
from fsspec.spec import AbstractFileSystem

from lume_services.services._atomic import TEMPORARY_PREFIX

__all__ = ["STALE", "Connection", "check_size", "connection_class", "join", "temporary_beside"]

STALE = timedelta(days=1)
"""How old an unfinished upload is, by the server's clock, when its writer must be gone."""


class Connection:
    """A server that was reached, and how it does what ``Filesystem`` promises.

    Paths start at the root and are normal: no leading slash, no ``.`` or ``..``; the root is "".
    Errors are those of fsspec and its drivers: ``FileNotFoundError`` for what is not there.
    """

    root_is_always_there: ClassVar[bool] = False
    """Whether the root has no need to be made: it is a bucket, or a prefix in one."""

    def __init__(self, url: str, options: Mapping[str, Any], *, timeout_s: float) -> None:
        """Connect.

        Args:
            url: Where the root is.
            options: Arguments of fsspec's filesystem.
            timeout_s: Seconds in which the server has to answer, where the protocol lets us say.
        """
        self.fs, root = self.connect(url, options, timeout_s)
        self.root = root.rstrip("/")
        # What runs on fsspec's event loop takes calls from several threads, others need not.
        shared = getattr(self.fs, "async_impl", False)
        self.turn: AbstractContextManager[Any] = nullcontext() if shared else Lock()
        self._tidied: set[str] = set()

    def connect(
        self, url: str, options: Mapping[str, Any], timeout_s: float
    ) -> tuple[AbstractFileSystem, str]:
        """Make fsspec's filesystem, and say what it calls the root of ours."""
        # An instance of our own: those that fsspec keeps may be closed, or of another process.
        return cast(
            "tuple[AbstractFileSystem, str]",
            fsspec.url_to_fs(url, skip_instance_cache=True, **options),
        )

    @classmethod
    def is_passing(cls, error: BaseException) -> bool:
        """Whether trying again later may help."""
        return isinstance(error, ConnectionError | TimeoutError | socket.gaierror)

    @classmethod
    def advice(cls, error: BaseException, variable: str) -> str:
        """What to look at when the server refuses.

        Args:
            error: The refusal.
            variable: The part that all variables of the filesystem begin with.

        Returns:
            A sentence, or nothing where there is nothing to be said.
        """
        return ""

    @classmethod
    def is_misconfigured(cls, error: BaseException) -> bool:
        """Whether it can only help to change the settings."""
        return False

    def kind(self, path: str) -> Literal["file", "folder"] | None:
        """What is at a path; None when nothing is."""
        try:
            found = self.fs.info(join(self.root, path))["type"]
        except FileNotFoundError as error:
            if self.is_misconfigured(error):
                raise
            return None
        return {"file": "file", "directory": "folder"}.get(found)  # type: ignore[return-value]  # no other values

    def names(self, path: str) -> Iterable[str]:
        """Names in a folder; those of folders end in ``/``."""
        folder = join(self.root, path)
        for entry in self.fs.ls(folder, detail=True):
            found = entry["name"].rstrip("/")
            if found == folder.rstrip("/"):
                if path and entry["type"] == "file" and not entry["name"].endswith("/"):
                    raise NotADirectoryError("it is a file")
                continue  # the marker of an empty folder
            yield found.rpartition("/")[2] + ("/" if self._is_folder(entry) else "")

    def _is_folder(self, entry: Mapping[str, Any]) -> bool:
        return bool(entry["type"] == "directory")

    def fetch(self, path: str, local: Path) -> None:
        """Copy a file to this machine, all of it from one moment."""
        self.fs.get_file(join(self.root, path), str(local))

    def store(self, local: Path, path: str) -> None:
        """Copy a file of this machine to a path, where it appears as a whole."""
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

    def _move(self, temporary: str, target: str) -> None:
        if type(self.fs).mv is not AbstractFileSystem.mv:
            self.fs.mv(temporary, target)
        else:  # fsspec's own takes "*" and the like in names for patterns; these do not
            self.fs.cp_file(temporary, target)
            self.fs.rm_file(temporary)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, which are not there."""
        self.fs.makedirs(join(self.root, path), exist_ok=True)

    def make_folder_for_file(self, path: str) -> None:
        """Make the folder that a file is about to be stored in, where files need one."""
        self.make_folder(path)

    def delete(self, path: str) -> None:
        """Delete a file, which is there."""
        self.fs.rm_file(join(self.root, path))

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


def connection_class(scheme: str) -> type[Connection]:
    """The kind of connection for a protocol, whose driver is imported.

    Raises:
        ModuleNotFoundError: The driver is not installed.
    """
    package = __name__.rpartition(".")[0]
    if scheme in ("sftp", "ssh"):
        return cast("type[Connection]", import_module(f"{package}._sftp").SFTPConnection)
    if scheme in ("s3", "s3a"):
        return cast("type[Connection]", import_module(f"{package}._s3").S3Connection)
    return Connection


def join(root: str, path: str) -> str:
    """A path as the server knows it."""
    return f"{root}/{path}" if path else root or "/"


def temporary_beside(target: str) -> str:
    """A name in the same folder that nobody else uses, and that is not listed."""
    folder = target.rpartition("/")[0]
    suffix = PurePosixPath(target).suffix
    return f"{folder}/{TEMPORARY_PREFIX}{secrets.token_hex(8)}{suffix}"


def check_size(local: Path, arrived: int | None) -> None:
    """Refuse an upload of which a part is missing.

    Raises:
        OSError: The sizes differ.
    """
    sent = local.stat().st_size
    if sent != arrived:
        raise OSError(f"the upload is incomplete: {arrived} of {sent} bytes arrived")
