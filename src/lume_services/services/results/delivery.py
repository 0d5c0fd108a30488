"""Storing that loses nothing while the store is away: what it does not take waits in the outbox."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lume_services.errors import (
    BlobNotFoundError,
    DuplicateResultError,
    LUMEServicesWarning,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.serialization import blob_digests
from lume_services.services.results.base import Document, ResultsDB
from lume_services.services.results.outbox import Outbox

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Delivery"]

_PAUSE_S = 10.0


class Delivery:
    """Stores documents and blobs; what the store does not take for now waits in the outbox.

    What waits is sent before the next document is stored, so that documents keep their order and
    none in the store refers to a blob that only the outbox has. That one is in the outbox too until
    then, as there may be much to send. A store that was found to be away is not asked again for ten
    seconds, or for as long as it took to find out.

    Args:
        store: The results database.
        outbox: What waits for it.
    """

    def __init__(self, store: ResultsDB, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._reason = ""
        self._ask_again = 0.0
        self._told = False

    def insert_many(self, collection: str, documents: Sequence[Document]) -> list[str]:
        """Store documents that have an ``_id``, or keep them; their ids, in order.

        Raises:
            ResultsDBUnavailableError: The store is away, and the outbox failed.
            ResultsDBError: The store refused them.
        """
        kept = None
        with self._asking() as asking:
            if asking:
                problem = None
                if self._outbox.exists:
                    kept = self._kept_meanwhile(collection, documents)
                    problem = self._send_before(documents, kept)
                ids = self._insert(collection, documents, kept)
                self._told = False
                if problem is not None:
                    _warn(problem)
                return ids
        if kept is None:
            with self._keeping():
                self._outbox.keep(collection, documents)
        if not self._told:
            self._told = True
            # With the time, as Python shows a warning of the same text only once.
            _warn(
                f"Since {datetime.now():%H:%M:%S} results are kept in {self._outbox.folder}, until "
                "the next one that can be stored, or `lume-services results flush`, sends them. "
                f"{self._reason}"
            )
        return [document["_id"] for document in documents]

    def put_blob(self, data: Buffer) -> str:
        """Store bytes, or keep them; their sha256 in lower-case hex.

        Raises:
            ResultsDBUnavailableError: The store is away, and the outbox failed.
            ResultsDBError: The store refused them.
        """
        with self._asking() as asking:
            if asking:
                return self._store.put_blob(data)
        with self._keeping():
            return self._outbox.put_blob(data)

    def get_blob(self, digest: str) -> Buffer:
        """Read a blob, from wherever it is.

        Raises:
            BlobNotFoundError: There is none of that digest.
            CorruptBlobError: What is stored does not have that digest.
        """
        problem: ResultsDBError | None = None
        if self._outbox.exists:
            try:
                return self._outbox.get_blob(digest)
            except BlobNotFoundError:
                pass
            except ResultsDBError as error:
                problem = error
        try:
            return self._store.get_blob(digest)
        except BlobNotFoundError:
            if problem is not None:
                raise problem from None
            raise

    def _insert(
        self, collection: str, documents: Sequence[Document], kept: Path | None
    ) -> list[str]:
        """Store documents, and forget what the outbox has of them."""
        try:
            if len(documents) == 1:
                ids = [self._store.insert_one(collection, documents[0])]
            else:
                ids = self._store.insert_many(collection, documents)
        except ResultsDBUnavailableError:
            raise
        except (ResultsDBError, SerializationError) as error:
            if kept is None:
                raise
            if isinstance(error, DuplicateResultError) and not kept.exists():
                return [document["_id"] for document in documents]  # another process sent them
            self._outbox.forget(kept, [])
            raise
        if self._outbox.exists:
            with suppress(ResultsDBError):  # they would be sent again, which changes nothing
                self._outbox.forget(kept, documents)
        return ids

    def _kept_meanwhile(self, collection: str, documents: Sequence[Document]) -> Path | None:
        """The file that keeps documents while others are sent, if there are any."""
        with suppress(ResultsDBError):  # the disk may be full; the store is there
            if self._outbox.waits:
                return self._outbox.keep(collection, documents)
        return None

    def _send_before(self, documents: Sequence[Document], kept: Path | None) -> str | None:
        """Send what waits, and the blobs of these documents; what the user should know of it."""
        problem = None
        try:
            refused = self._outbox.send(self._store, all_of_it=False, but=kept).refused
        except ResultsDBUnavailableError:
            raise
        except ResultsDBError as error:  # the outbox's own: no reason to lose what comes now
            problem = f"What waits for {self._store.address} was not sent: {error}"
        else:
            if refused:
                problem = (
                    f"{self._store.address} does not take {len(refused)} of the results that "
                    f"waited for it: {refused[0].reason} They stay in {self._outbox.folder}; "
                    "`lume-services results flush` lists them."
                )
        for document in documents:
            self._outbox.send_blobs(blob_digests(document), self._store)
        return problem

    @contextmanager
    def _asking(self) -> Iterator[bool]:
        """Whether the store is to be asked. When it turns out to be away, the block is left."""
        started = time.monotonic()
        if started < self._ask_again:
            yield False
            return
        try:
            yield True
        except ResultsDBUnavailableError as error:
            now = time.monotonic()
            self._reason = str(error)
            self._ask_again = now + max(_PAUSE_S, now - started)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except ResultsDBError as error:
            self._ask_again = 0.0  # the store may be back before the outbox is
            raise ResultsDBUnavailableError(
                f"{self._reason} Nor could it be kept for later: {error}"
            ) from error


def _warn(message: str) -> None:
    # So many levels up is who asked the service to store something.
    warnings.warn(message, LUMEServicesWarning, stacklevel=5)
