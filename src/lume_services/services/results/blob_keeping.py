"""What stores have in common that keep their blobs in a place of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from lume_services.services.results.base import ResultsDB
from lume_services.services.results.blobs import StoredBlob

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Blobs", "KeepsBlobs"]


class Blobs(Protocol):
    """A place of blobs: ``BlobFolder``, or a database's own."""

    def put(self, data: Buffer, /) -> str:
        """Store bytes; their sha256 in lower-case hex."""

    def get(self, digest: str, /) -> bytearray:
        """Read a blob."""

    def has(self, digest: str, /) -> bool:
        """Whether there is a blob of that digest."""

    def __iter__(self) -> Iterator[StoredBlob]:
        """Every blob, in no order."""

    def discard(self, digest: str, older_than_s: float, /) -> bool:
        """Delete a blob, unless it was stored, or stored again, in the last so many seconds."""

    def discard_unfinished(self, older_than_s: float, /) -> tuple[int, int]:
        """Delete what killed writers left; how many, and their bytes."""


class KeepsBlobs(ResultsDB):
    """A store with blobs beside its documents."""

    blobs: Blobs

    @abstractmethod
    def _blob_references(self) -> set[str]:
        """The digests of all blobs that documents refer to."""

    def put_blob(self, data: Buffer) -> str:
        """Store bytes; their sha256 in lower-case hex."""
        return self.blobs.put(data)

    def get_blob(self, digest: str) -> bytearray:
        """Read a blob."""
        return self.blobs.get(digest)

    def has_blob(self, digest: str) -> bool:
        """Whether there is a blob of that digest."""
        return self.blobs.has(digest)

    def collect_orphans(self, older_than_s: float) -> tuple[int, int]:
        """Delete blobs that no document refers to, and what killed writers left.

        Every document is read.

        Args:
            older_than_s: Spare what was stored, or stored again, in the last so many seconds. It
                has to be more than anybody takes from beginning to store a blob to having stored
                its document, and than the clocks of the machines differ.

        Returns:
            How many blobs were deleted, and their bytes.
        """
        count, size = self.blobs.discard_unfinished(older_than_s)
        old = [blob for blob in self.blobs if blob.age_s >= older_than_s]
        used = self._blob_references()
        for blob in old:
            if blob.digest not in used and self.blobs.discard(blob.digest, older_than_s):
                count, size = count + 1, size + blob.size
        return count, size
