"""SFTP, by sshfs over asyncssh."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncssh
from fsspec.asyn import sync_wrapper
from sshfs import SSHFileSystem
from sshfs.utils import wrap_exceptions

from lume_services.services.files.filesystems._connection import (
    Connection,
    check_size,
    join,
    temporary_beside,
)

__all__ = ["SFTPConnection"]

_BLOCK = 4 * 2**20
"""Bytes on their way at once; more does not make it faster, but takes memory."""

_LOST = (
    asyncssh.ChannelOpenError,
    asyncssh.ConnectionLost,
    asyncssh.ServiceNotAvailable,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
)


class _WholeFiles(SSHFileSystem):  # type: ignore[misc]  # sshfs has no types
    """sshfs with transfers that are whole.

    Its own ``get_file`` asks for the size before it opens the file, and so cuts off one that is
    replaced by a longer one in between; its ``mv`` may fall back to copying over the target.
    """

    @wrap_exceptions  # type: ignore[untyped-decorator]  # sshfs has no types
    async def _fetch(self, path: str, local: Path) -> None:
        async with self._pool.get() as channel, channel.open(path, "rb") as source:
            with local.open("wb") as target:
                while block := await source.read(_BLOCK):
                    target.write(block)

    @wrap_exceptions  # type: ignore[untyped-decorator]  # sshfs has no types
    async def _store(self, local: Path, temporary: str, target: str) -> None:
        async with self._pool.get() as channel:
            try:
                old = await channel.stat(target)
            except asyncssh.SFTPNoSuchFile:
                old = None
            if old is not None and not old.permissions & 0o222:
                raise PermissionError("it is read-only")
            try:
                await self._upload(channel, local, temporary, old)
                try:
                    await channel.posix_rename(temporary, target)
                except asyncssh.SFTPOpUnsupported:
                    # Without this extension of OpenSSH, what is there has to go first.
                    if old is not None:
                        await channel.remove(target)
                    await channel.rename(temporary, target)
            except BaseException:
                with suppress(Exception):
                    await channel.unlink(temporary)
                raise

    async def _upload(
        self,
        channel: asyncssh.SFTPClient,
        local: Path,
        temporary: str,
        old: asyncssh.SFTPAttrs | None,
    ) -> None:
        """Write the temporary file; it gets the permissions of the file that it is to replace."""
        private = asyncssh.SFTPAttrs() if old is None else asyncssh.SFTPAttrs(permissions=0o600)
        async with channel.open(temporary, "xb", private) as file:
            with local.open("rb") as source:
                while block := source.read(_BLOCK):
                    await file.write(block)
            if old is not None and old.permissions is not None:
                await file.chmod(stat.S_IMODE(old.permissions))
            with suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()
            check_size(local, (await file.stat()).size)

    fetch = sync_wrapper(_fetch)
    store = sync_wrapper(_store)


class SFTPConnection(Connection):
    """Files of a host that one logs in to by SSH."""

    fs: _WholeFiles

    def connect(
        self, url: str, options: Mapping[str, Any], timeout_s: float
    ) -> tuple[_WholeFiles, str]:
        """Log in; the root is a folder of the host, or the login folder where the URL has none."""
        authority, slash, path = url.partition("://")[2].partition("/")
        server = urlsplit(f"//{authority}")
        if not server.hostname:
            raise ValueError("the URL names no host: write sftp://user@host/folder")
        arguments: dict[str, Any] = {
            # sshfs would take any host key; with () asyncssh looks at ~/.ssh/known_hosts.
            "known_hosts": (),
            "connect_timeout": timeout_s,
            "keepalive_interval": 5,  # finds a server that went away without a word
            # Names that are not UTF-8 are listed, not an error.
            "sftp_client_kwargs": {"path_errors": "surrogateescape"},
            **options,
        }
        if server.port:
            arguments["port"] = server.port
        if server.username:
            arguments.setdefault("username", unquote(server.username))
        for name in ("known_hosts", "client_keys"):
            if isinstance(arguments.get(name), str):
                arguments[name] = str(Path(arguments[name]).expanduser())
        if arguments["known_hosts"] is None or arguments["known_hosts"] is False:
            raise ValueError(
                "the option known_hosts names a file, and cannot turn the check of the host's key "
                "off: without it, anybody in between could read and change the files"
            )
        fs = _WholeFiles(server.hostname, skip_instance_cache=True, **arguments)
        return fs, f"/{path.rstrip('/')}".rstrip("/") if slash else "."

    @classmethod
    def is_passing(cls, error: BaseException) -> bool:
        """See ``Connection.is_passing``."""
        return isinstance(error, _LOST) or super().is_passing(error)

    @classmethod
    def advice(cls, error: BaseException, variable: str) -> str:
        """See ``Connection.advice``."""
        option = f"{variable}__OPTIONS__"
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return (
                "Ask who runs the server for the fingerprint of its key, compare it with that of "
                "`ssh-keyscan HOST`, and add the key to ~/.ssh/known_hosts or to a file that "
                f"{option}KNOWN_HOSTS names."
            )
        if isinstance(error, PermissionError | asyncssh.PermissionDenied):
            return (
                f"Check the user in {variable}__URL or {option}USERNAME, and {option}CLIENT_KEYS "
                f"or {option}PASSWORD."
            )
        if isinstance(error, FileNotFoundError | asyncssh.KeyImportError):
            return f"Check the files that {option}CLIENT_KEYS and {option}KNOWN_HOSTS name."
        if isinstance(error, asyncssh.SFTPPermissionDenied):
            return "Check what the user is allowed to do in that folder."
        if isinstance(error, asyncssh.SFTPFailure):
            return "The server says no more; its disk may be full, or a quota."
        return ""

    def _is_folder(self, entry: Mapping[str, Any]) -> bool:
        if entry["type"] != "link":
            return super()._is_folder(entry)
        return bool(self.fs.isdir(entry["name"]))

    def fetch(self, path: str, local: Path) -> None:
        """See ``Connection.fetch``: an open file stays the same when its name is given away."""
        self.fs.fetch(join(self.root, path), local)

    def store(self, local: Path, path: str) -> None:
        """See ``Connection.store``."""
        target = join(self.root, path)
        self.fs.store(local, temporary_beside(target), target)
        self._tidy(target)
