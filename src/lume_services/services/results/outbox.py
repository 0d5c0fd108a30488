"""The outbox: results on this machine's disk that wait for a store that is away.

A folder for each store, named after its address, so that results for one never get to another::

    outbox/mongodb-db.lab-27017-lume-1f0c9a2e/
        address                    the store's address, in full
        documents/<time>-….jsonl   what one call was to store, the oldest first
        blobs/ab/cdef…             by digest, see ``blobs``

It is made of files, each complete or not there at all, rather than of a database, as ``LUME_HOME``
may be on a network filesystem. Any number of processes may use it. A file of documents goes when
the store has acknowledged all that is in it, and then the blobs that these refer to; whoever is
killed in between leaves it to be sent again, which changes nothing in the store. A blob that
documents here refer to is here or in the store.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from lume_services.errors import (
    BlobNotFoundError,
    LUMEServicesError,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.serialization import blob_digests
from lume_services.services._atomic import TEMPORARY_PREFIX, make_folder, replacing
from lume_services.services.results import _waiting_files as waiting_files
from lume_services.services.results.base import Document, ResultsDB
from lume_services.services.results.blobs import BlobFolder
from lume_services.services.results.copying import Refused, copy_blob, store_each

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Outbox", "Sent", "Waiting", "waiting"]

_ENDING = ".jsonl"
_LEFT_OVER_S = 24 * 3600.0
"""What nothing refers to and is older belongs to a process that was killed."""


@dataclass
class Sent:
    """What came of sending."""

    sent: int = 0
    """Results that the store has taken."""
    already_there: int = 0
    """Results that it had under another id, stored by somebody else."""
    refused: list[Refused] = field(default_factory=list)
    """Results that it does not take; they stay in the outbox."""


class Waiting(NamedTuple):
    """What waits for one store."""

    address: str
    results: int
    folder: Path


class Outbox:
    """What waits for one store. Nothing is made on the disk before something has to wait.

    Args:
        folder: The folder of all outboxes, ``LUME_HOME/outbox``.
        address: The store's address.
    """

    def __init__(self, folder: Path, address: str) -> None:
        readable = re.sub(r"[^a-z0-9.]+", "-", address.lower()).strip("-.")[-60:]
        name = f"{readable}-{sha256(os.fsencode(address)).hexdigest()[:8]}"
        self.address = address
        self.folder = folder / name
        self.blobs = BlobFolder(self.folder / "blobs")
        self._documents = self.folder / "documents"
        self._refused: set[str] = set()

    def keep(self, collection: str, documents: Sequence[Document]) -> Path:
        """Keep documents, each with its ``_id``, until they are sent; all of them or none.

        Returns:
            The file that they are in.

        Raises:
            SerializationError: A value is none that a document can hold.
            ResultsDBError: They could not be written.
        """
        name = f"{time.time_ns():020d}-{token_hex(4)}{_ENDING}"
        with self._errors():
            self._make()
            waiting_files.write(self._documents / name, collection, documents)
        return self._documents / name

    def forget(self, file: Path | None, documents: Sequence[Document]) -> None:
        """Delete documents that the store has, and their blobs.

        Args:
            file: The file that they are in, if they are in one.
            documents: The documents.

        Raises:
            ResultsDBError: They could not be deleted, and will be sent again.
        """
        with self._errors():
            if file is not None:
                file.unlink(missing_ok=True)
            for digest in blob_digests(list(documents)):
                self.blobs.discard(digest, 0)

    def put_blob(self, data: Buffer) -> str:
        """Keep bytes until they are sent; their sha256 in lower-case hex.

        Raises:
            ResultsDBError: They could not be written.
        """
        with self._errors():
            self._make()
        return self.blobs.put(data)

    def get_blob(self, digest: str) -> bytearray:
        """Read a blob that waits.

        Raises:
            BlobNotFoundError: None of that digest waits.
            CorruptBlobError: What is stored does not have that digest.
        """
        return self.blobs.get(digest)

    @property
    def exists(self) -> bool:
        """Whether anything had to wait, ever."""
        with suppress(OSError):  # of a folder above that may not be looked into
            return self.folder.is_dir()
        return True

    @property
    def waits(self) -> bool:
        """Whether there are documents that this process has not seen refused.

        Raises:
            ResultsDBError: The folder cannot be read.
        """
        return any(path.name not in self._refused for path in self._files())

    def documents(self, collection: str) -> Iterator[Document]:
        """The documents of a collection that wait, the oldest first; a damaged file is left out."""
        for path in self._files():
            with suppress(FileNotFoundError, SerializationError):
                name, documents = waiting_files.read(path)
                if name == collection:
                    yield from documents

    def send(self, store: ResultsDB, *, all_of_it: bool = True, but: Path | None = None) -> Sent:
        """Send what waits, the oldest first; what the store has taken is deleted here.

        Args:
            store: The store that it waits for.
            all_of_it: Wait for a process that is sending to end, and try again what was refused
                before. Otherwise nothing is done while another process is sending.
            but: A file of documents that is not sent.

        Raises:
            ResultsDBUnavailableError: The store is away; what was not sent goes on waiting.
            ResultsDBError: The folder, or a file in it, cannot be used.
        """
        sent = Sent()
        known: set[str] = set()
        try:
            if self._files():
                with self._alone(all_of_it) as alone:
                    for path in self._files() if alone else ():
                        if path != but and (all_of_it or path.name not in self._refused):
                            self._send_file(path, store, known, sent)
        except ResultsDBUnavailableError as error:
            if sent.sent:
                error.add_note(f"{sent.sent} of the results that waited were sent before.")
            raise
        if all_of_it and self.exists:
            self._tidy()
        return sent

    def send_blobs(self, digests: set[str], store: ResultsDB) -> None:
        """Send those of the blobs that wait; they stay until ``forget``.

        Raises:
            CorruptBlobError: A blob is damaged, and the store has none of that digest.
            ResultsDBUnavailableError: The store is away.
            ResultsDBError: A blob cannot be read, or the store refuses it, and has none.
        """
        for digest in sorted(digests):
            try:
                copy_blob(digest, self.blobs.get, store)
            except BlobNotFoundError:  # it went to the store before, or another process sent it
                pass
            except ResultsDBUnavailableError:
                raise
            except ResultsDBError:
                if not store.has_blob(digest):
                    raise

    def _send_file(self, path: Path, store: ResultsDB, known: set[str], sent: Sent) -> None:
        """Send what is in a file; the blobs that are known to be in the store are added to."""
        try:
            collection, documents = waiting_files.read(path)
        except FileNotFoundError:  # sent by another process, where locks do not work
            return
        except SerializationError as error:
            self._refused.add(path.name)
            sent.refused.append(Refused("", path.name, str(error)))
            return
        refused: dict[str, str] = {}
        whole = []
        for document in documents:
            digests = blob_digests(document)
            try:
                self.send_blobs(digests, store)
                for digest in digests - known:
                    if not store.has_blob(digest):
                        raise BlobNotFoundError(f"Its blob {digest} is neither here nor there.")
                    known.add(digest)
            except ResultsDBUnavailableError:
                raise
            except (ResultsDBError, BlobNotFoundError) as error:
                refused[document["_id"]] = str(error)
            else:
                whole.append(document)
        outcomes = store_each(store, collection, whole)
        for document, outcome in zip(whole, outcomes, strict=True):
            if isinstance(outcome, LUMEServicesError):
                refused[document["_id"]] = str(outcome)
            elif outcome == document["_id"]:
                sent.sent += 1
            else:
                sent.already_there += 1
        if not refused:
            self.forget(path, documents)
            return
        self._refused.add(path.name)
        sent.refused += [Refused(collection, name, reason) for name, reason in refused.items()]
        with suppress(OSError):  # the others would be sent once more, and nothing come of it
            waiting_files.write(
                path, collection, [one for one in documents if one["_id"] in refused]
            )

    def _files(self) -> list[Path]:
        """The files of documents, the oldest first."""
        with self._errors(), suppress(FileNotFoundError):
            return sorted(
                path
                for path in self._documents.iterdir()
                if path.suffix == _ENDING and not path.name.startswith(TEMPORARY_PREFIX)
            )
        return []

    def _make(self) -> None:
        make_folder(self._documents)
        file = self.folder / "address"
        if not file.exists():
            with replacing(file) as new:
                new.write_bytes(os.fsencode(self.address + "\n"))

    def _tidy(self) -> None:
        """Delete what killed processes left behind."""
        self.blobs.discard_unfinished(_LEFT_OVER_S)
        if not self._files():
            for blob in self.blobs:
                self.blobs.discard(blob.digest, _LEFT_OVER_S)
        with self._errors():
            for path in self._documents.glob(f"{TEMPORARY_PREFIX}*"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _LEFT_OVER_S:
                        path.unlink()

    @contextmanager
    def _alone(self, wait: bool) -> Iterator[bool]:
        """Whether no other process, or thread, is sending. Two would do no harm, only work."""
        with self._errors():
            lock = (self.folder / "lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError:  # a filesystem without locks
                pass
            try:
                yield True
            finally:
                # Closing is not enough: a process forked meanwhile has the file open too.
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_UN)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultsDBError(
                f"The outbox {self.folder} failed: {error.strerror}. See to it that there is "
                "space and that the folder can be used."
            ) from error


def waiting(folder: Path) -> list[Waiting]:
    """What waits for which store, those for which something does.

    Args:
        folder: The folder of all outboxes, ``LUME_HOME/outbox``.
    """
    found = []
    for file in sorted(folder.glob("*/address")):
        try:
            address = os.fsdecode(file.read_bytes()).rstrip("\n")
        except OSError as error:
            raise ResultsDBError(
                f"{file}, which says for which database results wait in its folder, cannot be "
                f"read: {error.strerror}."
            ) from error
        outbox = Outbox(folder, address)
        count = sum(map(waiting_files.count, outbox._files()))
        if count:
            found.append(Waiting(outbox.address, count, outbox.folder))
    return found
