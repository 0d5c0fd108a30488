"""A connection to a file server, and which kind there is for which protocol.

========== ==================== ====================================== ============================
protocol   by                   a file is written whole, by            folders are
========== ==================== ====================================== ============================
sftp, ssh  asyncssh             temporary file, fsync, posix-rename    folders
s3, s3a    s3fs, over fsspec    one PUT, or one completed upload       prefixes of keys; a marker
                                                                       for an empty one
all other  fsspec               temporary file, then the protocol's mv what fsspec makes of them
========== ==================== ====================================== ============================
"""

from __future__ import annotations

import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from lume_services.services._atomic import TEMPORARY_PREFIX

__all__ = ["STALE", "Connection", "check_size", "connection_class", "join", "temporary_beside"]

STALE = timedelta(days=1)
"""How old an unfinished upload is, by the server's clock, when its writer must be gone."""


class Connection(ABC):
    """A server that was reached, and how it does what ``Filesystem`` promises.

    Paths start at the root and are normal: no leading slash, no ``.`` or ``..``; the root is "".
    Errors are those of the drivers: ``FileNotFoundError`` for what is not there.
    """

    root_is_always_there: ClassVar[bool] = False
    """Whether the root has no need to be made: it is a bucket, or a prefix in one."""

    @abstractmethod
    def __init__(
        self, url: str, options: Mapping[str, Any], *, timeout_s: float, patience_s: float
    ) -> None:
        """Connect.

        Args:
            url: Where the root is.
            options: Arguments of the driver.
            timeout_s: Seconds in which the server has to answer at first, where the protocol lets
                us say.
            patience_s: Seconds in which it has to answer a request later on, likewise.
        """

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

    def turn(self) -> AbstractContextManager[Any]:
        """What a thread holds while it uses the connection."""
        return nullcontext()

    @abstractmethod
    def kind(self, path: str) -> Literal["file", "folder", "other"] | None:
        """What is at a path: nothing is None, a device or a socket "other"."""

    @abstractmethod
    def names(self, path: str) -> Iterable[str]:
        """Names in a folder; those of folders end in ``/``."""

    @abstractmethod
    def fetch(self, path: str, local: Path) -> None:
        """Copy a file to this machine, all of it from one moment."""

    @abstractmethod
    def store(self, local: Path, path: str) -> None:
        """Copy a file of this machine to a path, where it appears as a whole.

        Now and then, what killed writers left in the folder is deleted.
        """

    @abstractmethod
    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, which are not there."""

    def make_folder_for_file(self, path: str) -> None:
        """Make the folder that a file is about to be stored in, where files need one."""
        self.make_folder(path)

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file, which is there."""


def connection_class(scheme: str) -> type[Connection]:
    """The kind of connection for a protocol, whose driver is imported.

    Raises:
        ModuleNotFoundError: The driver is not installed.
    """
    module, name = {
        "sftp": ("_sftp", "SFTPConnection"),
        "ssh": ("_sftp", "SFTPConnection"),
        "s3": ("_s3", "S3Connection"),
        "s3a": ("_s3", "S3Connection"),
    }.get(scheme, ("_fsspec", "FsspecConnection"))
    package = __name__.rpartition(".")[0]
    return cast("type[Connection]", getattr(import_module(f"{package}.{module}"), name))


def join(root: str, path: str) -> str:
    """A path as the server knows it."""
    return f"{root}/{path}" if path else root or "/"


def temporary_beside(target: str) -> str:
    """A name in the same folder that nobody else uses, and that is not listed."""
    return f"{target.rpartition('/')[0]}/{TEMPORARY_PREFIX}{secrets.token_hex(8)}"


def check_size(local: Path, arrived: int | None) -> None:
    """Refuse an upload of which a part is missing.

    Raises:
        OSError: The sizes differ.
    """
    sent = local.stat().st_size
    if sent != arrived:
        raise OSError(f"the upload is incomplete: {arrived} of {sent} bytes arrived")
