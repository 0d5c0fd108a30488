"""Blobs as files: each under its own sha256, complete or not there at all.

A folder holds ``ab/cdef…``, named by digest, and ``incoming-…`` files that are being written. Who
reads finds a whole blob: it gets its name by a rename, after its bytes are on the disk. Any number
of processes may use one folder.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from lume_services.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    ResultsDBError,
    ResultsDBUnavailableError,
)
from lume_services.services._atomic import make_folder, put_in_place, sync_folder

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BlobFolder", "StoredBlob"]

_DIGITS = 64
_DIGEST = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")
_CHUNK = 1 << 20
"""Bytes written at a time; longer blobs are hashed and written at the same time."""
_EDGE = 4096
"""Bytes at either end by which a blob is taken for one stored before."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PASSING = (*_FULL, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
"""What may be over later; the last two come from network filesystems."""
_INCOMING = "incoming-"
_DOOMED = "doomed-"


class StoredBlob(NamedTuple):
    """A blob as it lies in the folder."""

    digest: str
    size: int
    """In bytes."""
    age_s: float
    """Seconds since it was stored, or stored again."""


class BlobFolder:
    """A folder of blobs; it is made with the first one.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stored: set[int] = set()
        self._durable: dict[str, int] = {}

    def put(self, data: Buffer) -> str:
        """Store bytes and wait until they are on the disk.

        Bytes that are there already are not stored twice; they count as stored just now. What is
        there is compared, and a file that was damaged is replaced.

        Args:
            data: Any C-contiguous buffer; it is not copied.

        Returns:
            The sha256 of the bytes in lower-case hex.

        Raises:
            ResultsDBUnavailableError: The disk is full or failed; nothing of them is left.
            ResultsDBError: They could not be written for another reason; likewise.
        """
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")
        with self._errors("written to"):
            if len(view) > _CHUNK:
                return self._put_large(view)
            digest = sha256(view).hexdigest()
            if not self._renew(digest, view):
                with self._incoming() as incoming:
                    incoming.write(view)
                    self._take_in(incoming, digest)
        return digest

    def get(self, digest: str) -> bytearray:
        """Read a blob.

        Raises:
            BlobNotFoundError: There is none of that digest.
            CorruptBlobError: The bytes do not have that digest.
        """
        path = self._path(digest)
        with self._errors("read from"):
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError:
                raise BlobNotFoundError(f"There is no blob {digest} in {self.path}.") from None
            with file:
                data = bytearray(os.fstat(file.fileno()).st_size)
                view, done = memoryview(data), 0
                while done < len(data) and (read := file.readinto(view[done:])):
                    done += read
        if sha256(data).hexdigest() != digest:
            raise CorruptBlobError(
                f"The blob {path} is damaged: its bytes are not those it is named after. Restore "
                "the file from a backup, or store the same values again."
            )
        return data

    def has(self, digest: str) -> bool:
        """Whether there is a blob of that digest."""
        return _DIGEST.fullmatch(digest) is not None and self._path(digest).is_file()

    def __iter__(self) -> Iterator[StoredBlob]:
        """Every blob, in no order."""
        now = time.time()
        with self._errors("read from"):
            for path in self.path.glob("??/*"):
                digest = path.parent.name + path.name
                with suppress(FileNotFoundError):  # another process may be collecting orphans
                    status = path.stat()
                    if _DIGEST.fullmatch(digest):
                        yield StoredBlob(digest, status.st_size, now - status.st_mtime)

    def discard(self, digest: str, older_than_s: float) -> bool:
        """Delete a blob, unless it was stored, or stored again, in the last so many seconds.

        Returns:
            Whether it was deleted.
        """
        # Out of the way first: from here on, whoever stores the same bytes writes them anew. Who
        # did so a moment earlier made it young, and it goes back. The name is this call's alone:
        # what another collector puts back meanwhile is gone from here, and spared.
        doomed = self.path / f"{_DOOMED}{digest}-{uuid4().hex}"
        with self._errors("cleaned up in"), suppress(FileNotFoundError):
            self._path(digest).rename(doomed)
            if time.time() - doomed.stat().st_mtime >= older_than_s:
                doomed.unlink()
                return True
            self._put_back(doomed)
        return False

    def discard_unfinished(self, older_than_s: float) -> tuple[int, int]:
        """Delete what writers left behind that were killed at least so many seconds ago.

        Returns:
            How many files were deleted, and their bytes.
        """
        count = size = 0
        with self._errors("cleaned up in"):
            for path in self.path.glob(f"{_DOOMED}*"):
                with suppress(FileNotFoundError):  # its collector is alive
                    self._put_back(path)
            for path in self.path.glob(f"{_INCOMING}*"):
                with suppress(FileNotFoundError):  # it may have become a blob
                    status = path.stat()
                    if time.time() - status.st_mtime >= older_than_s:
                        path.unlink()
                        count, size = count + 1, size + status.st_size
        return count, size

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise BlobNotFoundError(f"{digest!r} is not the name of a blob, 64 hex digits.")
        return self.path / digest[:2] / digest[2:]

    def _put_large(self, view: memoryview) -> str:
        # Hashing takes as long as writing, and neither holds the interpreter's lock: both at once,
        # unless these look like bytes stored before, of which nothing needs writing.
        looks = hash((len(view), bytes(view[:_EDGE]), bytes(view[-_EDGE:])))
        writer = None
        with self._incoming() as incoming:
            if looks not in self._stored:
                writer = Thread(target=incoming.write, args=(view,), name="blob-writer")
                writer.start()
            try:
                digest = sha256(view).hexdigest()
                incoming.unwanted = self._renew(digest, view)
            finally:
                if writer is not None:
                    writer.join()
            if not incoming.unwanted:
                if writer is None:
                    incoming.write(view)
                self._take_in(incoming, digest)
        self._stored.add(looks)
        return digest

    def _put_back(self, doomed: Path) -> None:
        # Renewed, as the same bytes may have been stored again and be waiting for their document.
        os.utime(doomed)
        doomed.rename(self._path(doomed.name.removeprefix(_DOOMED)[:_DIGITS]))

    def _renew(self, digest: str, view: memoryview) -> bool:
        """Whether the blob is there and whole; then it counts as stored just now."""
        path = self._path(digest)
        try:
            os.utime(path)
            with path.open("rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if status.st_size != len(view) or not _holds(file, view):
                    return False
        except OSError:  # not there, or not readable: it is written anew
            return False
        # Its writer may not have come so far that the name is on the disk. Once is enough: every
        # result renews its list of packages.
        if self._durable.get(digest) != status.st_ino:
            sync_folder(path.parent)
            sync_folder(self.path)
            self._durable[digest] = status.st_ino
        return True

    @contextmanager
    def _incoming(self) -> Iterator[_Incoming]:
        make_folder(self.path)
        incoming = _Incoming(self.path / f"{_INCOMING}{uuid4().hex}")
        try:
            yield incoming
        finally:
            incoming.path.unlink(missing_ok=True)

    def _take_in(self, incoming: _Incoming, digest: str) -> None:
        if incoming.error is not None:
            raise incoming.error
        path = self._path(digest)
        path.parent.mkdir(exist_ok=True)
        put_in_place(incoming.path, path)
        sync_folder(self.path)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (*_FULL, errno.EFBIG)
            remedy = "Free some space" if full else "See to it that the folder can be used"
            kind = ResultsDBUnavailableError if error.errno in _PASSING else ResultsDBError
            raise kind(
                f"The folder of blobs {self.path} could not be {doing}: {error.strerror}. "
                f"{remedy} and try again."
            ) from error


def _holds(file: FileIO, view: memoryview) -> bool:
    """Whether a file, from where it stands, holds exactly these bytes."""
    buffer = bytearray(min(_CHUNK, len(view)))
    while view:
        read = file.readinto(buffer)
        # Of bytearrays, unlike memoryviews, comparing is as fast as the memory.
        if not read or (buffer if read == len(buffer) else buffer[:read]) != view[:read]:
            return False
        view = view[read:]
    return True


class _Incoming:
    """A file on its way to become a blob."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unwanted = False
        self.error: OSError | None = None

    def write(self, view: memoryview) -> None:
        """Bring bytes to the disk, or stop early when they are no longer wanted."""
        try:
            with self.path.open("xb", buffering=0) as file:
                while view and not self.unwanted:
                    view = view[os.write(file.fileno(), view[:_CHUNK]) :]
                if not self.unwanted:
                    os.fsync(file.fileno())
        except OSError as error:
            self.error = error
