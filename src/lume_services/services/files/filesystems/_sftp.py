"""SFTP, by asyncssh on fsspec's event loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import unquote, urlsplit

import asyncssh
from fsspec.asyn import get_loop

from lume_services.services._atomic import TEMPORARY_PREFIX
from lume_services.services.files.filesystems._connection import (
    STALE,
    Connection,
    check_size,
    join,
    temporary_beside,
)

__all__ = ["SFTPConnection"]

T = TypeVar("T")

_BLOCK = 2**20
"""Bytes on their way at once; more does not make it faster, and a slow line needs time for them."""

_LOST = (
    asyncssh.ChannelOpenError,
    asyncssh.ConnectionLost,
    asyncssh.ServiceNotAvailable,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Asyncio says for each packet that it cannot be sent; that the connection is lost, we say."""
    return not (record.threadName == "fsspecIO" and record.msg == "socket.send() raised exception.")


logging.getLogger("asyncio").addFilter(_is_worth_saying)


class SFTPConnection(Connection):
    """Files of a host that one logs in to by SSH.

    Threads share one SFTP session, which takes many requests at a time. When one of them is not
    answered, the connection is given up: a host whose disk hangs still says that it is alive.
    """

    def __init__(
        self, url: str, options: Mapping[str, Any], *, timeout_s: float, patience_s: float
    ) -> None:
        """Log in. The root is a folder of the host, or the login folder where the URL has none."""
        host, self.root, arguments = _arguments(url, options, timeout_s)
        self._loop = get_loop()
        self._patience_s = timeout_s
        self._tidied: set[str] = set()
        begin = time.monotonic()
        self._ssh = self._run(_log_in(host, arguments))
        close = weakref.finalize(self, self._loop.call_soon_threadsafe, self._ssh.abort)
        close.atexit = False  # the process that ends may be a fork
        self._patience_s = max(timeout_s - (time.monotonic() - begin), timeout_s / 5)
        try:
            self._sftp = self._run(self._start())
        except asyncssh.ChannelOpenError as error:
            raise OSError("one can log in there, but it opens no SFTP session") from error
        self._patience_s = patience_s

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
        if isinstance(error, asyncssh.SFTPBadMessage):
            return "A name in the path may be too long for the server."
        if isinstance(error, asyncssh.SFTPFailure):
            return "The server says no more; its disk may be full, or a quota."
        return ""

    def kind(self, path: str) -> Literal["file", "folder", "other"] | None:
        """See ``Connection.kind``; symbolic links are followed."""
        try:
            return self._run(self._kind(join(self.root, path)))
        except FileNotFoundError:
            return None

    def names(self, path: str) -> list[str]:
        """See ``Connection.names``."""
        return self._run(self._names(join(self.root, path)))

    def fetch(self, path: str, local: Path) -> None:
        """See ``Connection.fetch``: an open file stays the same when its name is given away."""
        self._run(self._fetch(join(self.root, path), local))

    def store(self, local: Path, path: str) -> None:
        """See ``Connection.store``."""
        self._run(self._store(local, join(self.root, path)))

    def make_folder(self, path: str) -> None:
        """See ``Connection.make_folder``."""
        self._run(self._make_folder(join(self.root, path)))

    def delete(self, path: str) -> None:
        """See ``Connection.delete``."""
        self._run(self._delete(join(self.root, path)))

    def _run(self, task: Coroutine[Any, Any, T]) -> T:
        """Wait until the event loop has done something."""
        future = asyncio.run_coroutine_threadsafe(task, self._loop)
        try:
            return future.result()
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        finally:
            future.cancel()  # where Ctrl-C ended the waiting

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[Callable[[], None]]:
        """Give up the connection when nothing is answered; gives what to call at each answer."""
        # To cancel the task would not do: it would wait for an answer to the closing of its file.
        timed_out = False

        def ring() -> None:
            nonlocal timed_out
            timed_out = True
            self._ssh.abort()

        alarm = self._loop.call_later(self._patience_s, ring)

        def answered() -> None:
            nonlocal alarm
            alarm.cancel()
            alarm = self._loop.call_later(self._patience_s, ring)

        try:
            yield answered
        except Exception as error:
            if timed_out:
                raise TimeoutError from error
            raise
        finally:
            alarm.cancel()

    async def _start(self) -> asyncssh.SFTPClient:
        async with self._watched():
            # Names that are not UTF-8 are listed, not an error.
            client: asyncssh.SFTPClient = await self._ssh.start_sftp_client(
                path_errors="surrogateescape"
            )
            return client

    async def _kind(self, path: str) -> Literal["file", "folder", "other"]:
        async with self._watched():
            mode = (await self._sftp.stat(path)).permissions or 0
        return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"

    async def _names(self, folder: str) -> list[str]:
        names = []
        async with self._watched() as answered:
            async for entry in self._sftp.scandir(folder):
                answered()
                name = str(entry.filename)
                if name in (".", ".."):
                    continue
                mode = entry.attrs.permissions or 0
                if stat.S_ISLNK(mode):
                    is_folder = await self._sftp.isdir(f"{folder}/{name}")
                else:
                    is_folder = stat.S_ISDIR(mode)
                names.append(f"{name}/" if is_folder else name)
        return names

    async def _fetch(self, path: str, local: Path) -> None:
        async with self._watched() as answered, self._sftp.open(path, "rb") as source:
            with local.open("wb") as target:
                while block := await source.read(_BLOCK):
                    target.write(cast("bytes", block))
                    answered()

    async def _store(self, local: Path, target: str) -> None:
        temporary = temporary_beside(target)
        async with self._watched() as answered:
            try:
                old = await self._sftp.stat(target)
            except asyncssh.SFTPNoSuchFile:
                old = None
            if old is not None and old.permissions is not None and not old.permissions & 0o222:
                raise OSError("it is read-only")
            try:
                await self._upload(local, temporary, old, answered)
                try:
                    await self._sftp.posix_rename(temporary, target)
                except asyncssh.SFTPOpUnsupported:
                    # Without this extension of OpenSSH, what is there has to go first.
                    if old is not None:
                        await self._sftp.remove(target)
                    await self._sftp.rename(temporary, target)
            except BaseException:
                with suppress(Exception):
                    await self._sftp.unlink(temporary)
                raise
            await self._tidy(target)

    async def _upload(
        self,
        local: Path,
        temporary: str,
        old: asyncssh.SFTPAttrs | None,
        answered: Callable[[], None],
    ) -> None:
        """Write the temporary file; it gets the permissions of the file that it is to replace."""
        private = asyncssh.SFTPAttrs() if old is None else asyncssh.SFTPAttrs(permissions=0o600)
        async with self._sftp.open(temporary, "xb", private) as file:
            with local.open("rb") as source:
                while block := source.read(_BLOCK):
                    await file.write(block)
                    answered()
            if old is not None and old.permissions is not None:
                await file.chmod(stat.S_IMODE(old.permissions))
            with suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()
            check_size(local, (await file.stat()).size)

    async def _tidy(self, target: str) -> None:
        """Delete what killed writers left in the folder; once a folder is enough."""
        folder = target.rpartition("/")[0]
        if folder in self._tidied:
            return
        self._tidied.add(folder)
        # Others may be tidying too, or the server may not tell how old files are.
        with suppress(Exception):
            now = (await self._sftp.stat(target)).mtime or 0
            async for entry in self._sftp.scandir(folder):
                name, written = str(entry.filename), entry.attrs.mtime
                old = written is not None and now - written > STALE.total_seconds()
                if old and name.startswith(TEMPORARY_PREFIX):
                    await self._sftp.unlink(f"{folder}/{name}")

    async def _make_folder(self, path: str) -> None:
        async with self._watched():
            await self._sftp.makedirs(path, exist_ok=True)

    async def _delete(self, path: str) -> None:
        async with self._watched():
            await self._sftp.unlink(path)


async def _log_in(host: str, arguments: Mapping[str, Any]) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(host, **arguments)


def _arguments(
    url: str, options: Mapping[str, Any], timeout_s: float
) -> tuple[str, str, dict[str, Any]]:
    """The host, its folder, and the arguments of ``asyncssh.connect``."""
    authority, slash, path = url.partition("://")[2].partition("/")
    server = urlsplit(f"//{authority}")
    if not server.hostname:
        raise ValueError("the URL names no host: write sftp://user@host/folder")
    arguments: dict[str, Any] = {
        "connect_timeout": timeout_s,
        "keepalive_interval": 5,  # finds a server that went away without a word
        **options,
    }
    if server.port:
        arguments["port"] = server.port
    if server.username:
        arguments.setdefault("username", unquote(server.username))
    for name in ("known_hosts", "client_keys"):
        if isinstance(arguments.get(name), str):
            arguments[name] = str(Path(arguments[name]).expanduser())
    if "known_hosts" in options and not options["known_hosts"]:
        raise ValueError(
            "the option known_hosts names a file, and cannot turn the check of the host's key "
            "off: without it, anybody in between could read and change the files"
        )
    return server.hostname, f"/{path.rstrip('/')}".rstrip("/") if slash else ".", arguments
