"""Storing the results of a sweep as they come."""

from __future__ import annotations

from threading import Lock, Timer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from lume_services.services.results import ResultsDBService

__all__ = ["Recorder"]

_AT_MOST_S = 1.0
_BATCH = 200


class Recorder:
    """Stores documents in batches, each a second after it was added at the latest.

    A commit waits for the disk, so that quick points are stored together. A timer sees to it that
    what a quick point gave does not wait for a slow one after it.

    Args:
        collection: Where they are stored.
        service: The results database.
    """

    def __init__(self, collection: str, service: ResultsDBService) -> None:
        self._collection = collection
        self._service = service
        self._waiting: list[dict[str, Any]] = []
        self._timer: Timer | None = None
        self._lock = Lock()
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What is computed is kept, whatever ended the sweep.
        self.flush()

    def add(self, document: dict[str, Any]) -> None:
        """Take a document, to be stored soon.

        Raises:
            ResultsDBError: Those before it could not be stored.
        """
        with self._lock:
            self._waiting.append(document)
            full = len(self._waiting) >= _BATCH
            if self._timer is None and not full:
                self._timer = Timer(_AT_MOST_S, self._flush_late)
                self._timer.daemon = True
                self._timer.start()
        if full or self._error is not None:
            self.flush()

    def flush(self) -> None:
        """Store everything that waits, in one transaction; the documents get their ``_id``.

        Raises:
            ResultsDBError: It cannot be stored; it goes on waiting.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._waiting:
                ids = self._service.insert_many(self._collection, self._waiting)
                for document, id_ in zip(self._waiting, ids, strict=True):
                    document["_id"] = id_
            self._waiting = []
            self._error = None

    def _flush_late(self) -> None:
        try:
            self.flush()
        except Exception as error:  # raised where the next document is added
            self._error = error
