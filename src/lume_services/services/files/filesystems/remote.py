"""Files on a server: SFTP, S3, and what else fsspec has a filesystem for."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    PathOutsideFilesystemError,
)
from lume_services.services._atomic import TEMPORARY_PREFIX
from lume_services.services.files.filesystems._session import CREDENTIAL, Session
from lume_services.services.files.filesystems.filesystem import Filesystem

if TYPE_CHECKING:
    from lume_services.services.files.filesystems._connection import Connection

__all__ = ["RemoteFilesystem"]

_LONGEST_PATH = 1024
"""Bytes of UTF-8 in a key of S3; one limit for all, so that files can move between servers."""


class RemoteFilesystem(Filesystem):
    """A folder of a server, or a prefix of a bucket, by its URL.

    ``sftp://`` and ``s3://`` need the extras of the same names, and what they promise is tested on
    servers of that kind. Every other protocol that fsspec, or a package that is installed, knows
    can be used as well; https://filesystem-spec.readthedocs.io has the list.

    Paths are relative to the URL's. Nothing is connected, and no driver imported, before the first
    use. A server that does not answer within ``timeout_s`` is reported; once it was reached, what
    a lost connection or a busy server ended is tried again for ``retry_s``. A connection is shared
    by the threads of a process, and not with its forks.
    """

    timeout_s: ClassVar[float] = 4.0
    """Seconds in which a server has to answer the first time."""
    retry_s: ClassVar[float] = 30.0
    """Seconds in which what failed for a passing reason is tried again. A server that was reached
    has half of them to answer a request."""

    def __init__(self, identifier: str, url: str, options: Mapping[str, Any] | None = None) -> None:
        """Name the server; nothing is connected yet.

        Args:
            identifier: The name by which file records refer to this filesystem.
            url: Where it is: ``sftp://user@host:port/folder``, ``s3://bucket/folder``.
            options: Arguments of fsspec's filesystem for that protocol; never shown.

        Raises:
            ConfigurationError: The URL holds a password, or is none.
        """
        self.identifier = identifier
        self.url = url
        self._session = Session(
            identifier, url, options or {}, timeout_s=self.timeout_s, retry_s=self.retry_s
        )
        variable = self._session.variable
        authority = url.partition("://")[2].partition("/")[0]
        try:
            holds_password = urlsplit(f"//{authority}").password is not None
        except ValueError as error:
            raise ConfigurationError(f"{variable}__URL is not a URL: {error}.") from error
        if "://" not in url:
            raise ConfigurationError(f"{variable}__URL is not a URL: scheme://…")
        if holds_password:
            raise ConfigurationError(
                f"{variable}__URL holds a password, which would be shown with it: give it as "
                f"{variable}__OPTIONS__PASSWORD."
            )

    @classmethod
    def from_url(
        cls, identifier: str, url: str, options: Mapping[str, SecretStr] | None = None
    ) -> Self:
        """Make it from ``LUME_FILESYSTEMS__<identifier>__URL`` and its ``__OPTIONS__…``.

        An option is a number, a boolean, a list or an object where JSON takes it for one, and text
        otherwise. What is named like a credential (``key``, ``secret``, ``password``, ``token``,
        ``username`` …) is text also where it looks like a number.
        """
        values = {
            name: _option(name, text.get_secret_value()) for name, text in (options or {}).items()
        }
        return cls(identifier, url, values)

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    @contextmanager
    def reading(self, path: str) -> Iterator[Path]:
        """See ``Filesystem.reading``; a temporary copy is given."""
        name = self._inside(path)
        with self._copy("read", path) as local:
            self._session.do("read", path, lambda server: server.fetch(name, local))
            yield local

    @contextmanager
    def writing(self, path: str, *, create_dir: bool = True) -> Iterator[Path]:
        """See ``Filesystem.writing``; what is written is sent when the context is left."""
        name = self._inside(path)
        new_folder = self._session.do(
            "write", path, lambda server: _check_target(server, name, create_dir)
        )
        with self._copy("write", path) as local:
            with self._reporting("write", path):
                local.touch()
            yield local

            def store(server: Connection) -> None:
                if new_folder:
                    server.make_folder_for_file(_parent(name))
                server.store(local, name)

            self._session.do("write", path, store)

    def delete(self, path: str) -> None:
        """See ``Filesystem.delete``."""
        name = self._inside(path)
        tried = False

        def delete(server: Connection) -> None:
            nonlocal tried
            found = server.kind(name)
            if found == "folder" or not name:
                raise IsADirectoryError("it is a folder")
            if found is None and not tried:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if found is not None:
                tried = True  # if the connection is lost now, it may be deleted all the same
                server.delete(name)

        self._session.do("delete", path, delete)

    def file_exists(self, path: str) -> bool:
        """See ``Filesystem.file_exists``."""
        name = self._inside(path)
        return self._session.do("look for", path, lambda server: server.kind(name)) == "file"

    def dir_exists(self, path: str) -> bool:
        """See ``Filesystem.dir_exists``."""
        name = self._inside(path)

        def exists(server: Connection) -> bool:
            return _is_root_of_keys(server, name) or server.kind(name) == "folder"

        return self._session.do("look for", path, exists)

    def create_dir(self, path: str) -> None:
        """See ``Filesystem.create_dir``; in an object store, an empty object marks the folder."""
        name = self._inside(path)

        def create(server: Connection) -> None:
            if _missing_folder(server, name):
                server.make_folder(name)

        self._session.do("make", path, create)

    def list_dir(self, path: str = "") -> list[str]:
        """See ``Filesystem.list_dir``."""
        name = self._inside(path)

        def names(server: Connection) -> list[str]:
            try:
                return [one for one in server.names(name) if not one.startswith(TEMPORARY_PREFIX)]
            except FileNotFoundError as error:
                if _is_root_of_keys(server, name) and not server.is_misconfigured(error):
                    return []
                raise

        return sorted(self._session.do("list", path, names))

    def _inside(self, path: str) -> str:
        """The path from the root on, normal; "" is the root.

        Raises:
            PathOutsideFilesystemError: It leads out.
            FilesystemError: No server takes such a path.
        """
        if path.startswith("/"):
            raise PathOutsideFilesystemError(
                f"{path!r} is not a path on filesystem {self.identifier!r}: paths start at "
                f"{self.url}. Leave out the slash at the beginning."
            )
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if not parts:
                    raise PathOutsideFilesystemError(
                        f"{path!r} leads out of filesystem {self.identifier!r}, {self.url}."
                    )
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        name = "/".join(parts)
        if "\0" in name or len(name.encode("utf-8", "surrogatepass")) > _LONGEST_PATH:
            raise FilesystemError(
                f"{path[:80]!r}… is not a path on filesystem {self.identifier!r}: paths have at "
                f"most {_LONGEST_PATH} bytes and no NUL."
            )
        return name

    @contextmanager
    def _copy(self, verb: str, path: str) -> Iterator[Path]:
        """A place for a temporary copy of a file, of the same suffix."""
        with self._reporting(verb, path):
            folder = tempfile.TemporaryDirectory(prefix="lume-")
        with folder as name:
            yield Path(name) / f"file{PurePosixPath(path).suffix}"


def _check_target(server: Connection, name: str, create_dir: bool) -> bool:
    """Refuse what cannot become a file; tell whether its folder has to be made."""
    found = server.kind(name)
    if found == "folder" or not name:
        raise IsADirectoryError("it is a folder")
    if found == "other":
        raise OSError("it is not an ordinary file")
    if found == "file" or not _missing_folder(server, _parent(name)):
        return False
    if not create_dir:
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist; create_dir=True makes it")
    return True


def _is_root_of_keys(server: Connection, name: str) -> bool:
    return not name and server.root_is_always_there


def _missing_folder(server: Connection, name: str) -> bool:
    """Whether a folder is not there, though it could be made.

    Raises:
        NotADirectoryError: It, or one above it, is a file.
    """
    above = name
    while not _is_root_of_keys(server, above):
        found = server.kind(above)
        if found in ("file", "other"):
            raise NotADirectoryError(f"{above!r} is a file")
        if found == "folder":
            break
        if not above:
            return True
        above = _parent(above)
    return above != name


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _option(name: str, text: str) -> Any:
    """The value of an option that was given as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    structured = isinstance(value, dict | list)
    return value if structured or not CREDENTIAL.search(name) else text
