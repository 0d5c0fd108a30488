"""Blobs in GridFS: files named by the sha256 of their content.

The collections ``blobs.files`` and ``blobs.chunks`` are those of MongoDB's specification
(https://github.com/mongodb/specifications/blob/master/source/gridfs/gridfs-spec.md), and any of its
tools reads them. A writer's chunks carry an id of its own, and the document of the file, written
last, says whose count: writers do not disturb each other, and what a killed one leaves is never
read. PyMongo's ``GridIn`` is not used, as it dates files by the clock of the writer's machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from gridfs import GridOut
from gridfs.errors import CorruptGridFile
from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError

from lume_services.errors import BlobNotFoundError, CorruptBlobError
from lume_services.services.results.blobs import StoredBlob
from lume_services.services.results.mongodb.connection import (
    Connection,
    Documents,
    MongoDatabase,
)
from lume_services.services.results.mongodb.failures import is_duplicate
from lume_services.services.results.mongodb.indexes import CHUNKS, FILES, Indexes
from lume_services.services.results.query import is_unicode

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BUCKET", "GridBlobs"]

BUCKET: Final = "blobs"
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_CHUNK: Final = 255 << 10
"""Bytes of a chunk, as GridFS has them."""
_MESSAGE: Final = 16 * _CHUNK
"""Bytes sent at a time, as few as ``inserting`` sends of documents."""
_PLAIN: Final[CodecOptions[dict[str, Any]]] = CodecOptions(tz_aware=True)


class GridBlobs:
    """The blobs of a database, used as ``BlobFolder`` is.

    Args:
        connection: Its connections.
        indexes: What sees to its indexes.
    """

    def __init__(self, connection: Connection, indexes: Indexes) -> None:
        self._connection = connection
        self._indexes = indexes
        self._known: set[str] = set()

    def put(self, data: Buffer) -> str:
        """Store bytes; on return they are as durable as documents.

        Bytes that are there already are not stored twice; they count as stored just now. What this
        process has not yet seen there is read and compared, and written anew if it is damaged.

        Args:
            data: Any C-contiguous buffer; it is copied by parts.

        Returns:
            The sha256 of the bytes in lower-case hex.
        """
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")
        digest = sha256(view).hexdigest()
        self._connection.run(partial(self._put, view, digest))
        self._known.add(digest)
        return digest

    def get(self, digest: str) -> bytearray:
        """Read a blob.

        Raises:
            BlobNotFoundError: There is none of that digest.
            CorruptBlobError: The bytes do not have that digest.
        """
        return self._connection.run(partial(self._get, digest))

    def has(self, digest: str) -> bool:
        """Whether there is a blob of that digest."""
        return is_unicode(digest) and self._connection.run(
            lambda database: _files(database).find_one({"filename": digest}, ["_id"]) is not None
        )

    def __iter__(self) -> Iterator[StoredBlob]:
        """Every blob, in no order."""
        return iter(self._connection.run(self._list))

    def discard(self, digest: str, older_than_s: float) -> bool:
        """Delete a blob, unless it was stored, or stored again, in the last so many seconds.

        Returns:
            Whether it was deleted.
        """
        self._known.discard(digest)
        return self._connection.run(partial(self._discard, digest, older_than_s))

    def discard_unfinished(self, older_than_s: float) -> tuple[int, int]:
        """Delete what writers left behind that began, by their clocks, so many seconds ago.

        Returns:
            How many blobs would have become of it, and the bytes.
        """
        return self._connection.run(partial(self._discard_unfinished, older_than_s))

    def _put(self, view: memoryview, digest: str, database: MongoDatabase) -> None:
        files, chunks = _files(database), _chunks(database)
        self._indexes.ensure(files, FILES)
        self._indexes.ensure(chunks, CHUNKS)
        now = {"$currentDate": {"uploadDate": True}}  # by the server's clock
        # What this process saw there is durable already, and only its date is new.
        known = digest in self._known
        renewed = files.with_options(write_concern=WriteConcern(1)) if known else files
        if renewed.update_one({"filename": digest}, now).matched_count:
            if known or self._is_whole(digest, database):
                return
            self._discard(digest, -1, database)
        upload = ObjectId()
        for start in range(0, len(view), _MESSAGE):
            places = range(start, min(start + _MESSAGE, len(view)), _CHUNK)
            _insert(chunks, [_chunk(upload, view, place) for place in places])
        new = {"_id": upload, "length": Int64(len(view)), "chunkSize": _CHUNK}
        try:
            stored = files.find_one_and_update(
                {"filename": digest},
                {"$setOnInsert": new, **now},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # another writer came first, this very moment
            stored = None
        if stored is None or stored["_id"] != upload:
            chunks.delete_many({"files_id": upload})

    def _is_whole(self, digest: str, database: MongoDatabase) -> bool:
        try:
            self._get(digest, database)
        except (BlobNotFoundError, CorruptBlobError):
            return False
        return True

    def _get(self, digest: str, database: MongoDatabase) -> bytearray:
        file = _files(database).find_one({"filename": digest}) if is_unicode(digest) else None
        if file is None:
            raise BlobNotFoundError(
                f"There is no blob {digest!r} in {self._connection.place.address}."
            )
        data, end, hashed = bytearray(file["length"]), 0, sha256()
        reader = GridOut(_bucket(database), file_document=file)
        try:
            while chunk := reader.readchunk():
                hashed.update(chunk)
                data[end : end + len(chunk)] = chunk
                end += len(chunk)
        except CorruptGridFile:
            pass  # as its digest says
        if hashed.hexdigest() != digest:
            self._known.discard(digest)
            raise CorruptBlobError(
                f"The blob {digest} in {self._connection.place.address} is damaged: its bytes are "
                "not those it is named after. Restore the database from a backup, or store the "
                "same values again."
            )
        return data

    def _list(self, database: MongoDatabase) -> list[StoredBlob]:
        now = _now(database)
        return [
            StoredBlob(file["filename"], file["length"], (now - file["uploadDate"]).total_seconds())
            for file in _files(database).find()
            if _DIGEST.fullmatch(str(file.get("filename")))
        ]

    def _discard(self, digest: str, older_than_s: float, database: MongoDatabase) -> bool:
        # In one step: who stores the same bytes after it writes them anew, who did so before it
        # made the blob young.
        latest = _now(database) - timedelta(seconds=older_than_s)
        file = _files(database).find_one_and_delete(
            {"filename": digest, "uploadDate": {"$lte": latest}}
        )
        if file is None:
            return False
        _chunks(database).delete_many({"files_id": file["_id"]})
        return True

    def _discard_unfinished(self, older_than_s: float, database: MongoDatabase) -> tuple[int, int]:
        files, chunks = _files(database), _chunks(database)
        latest = _now(database) - timedelta(seconds=older_than_s)
        # Answered from the index. The files come second, as one may be finished in between.
        by_upload: list[dict[str, Any]] = [
            {"$sort": {"files_id": 1, "n": 1}},
            {"$group": {"_id": "$files_id"}},
        ]
        uploads = {group["_id"] for group in chunks.aggregate(by_upload, allowDiskUse=True)}
        uploads -= {file["_id"] for file in files.find({}, ["_id"])}
        count = size = 0
        for upload in uploads:
            if isinstance(upload, ObjectId) and upload.generation_time <= latest:
                size += sum(len(chunk["data"]) for chunk in chunks.find({"files_id": upload}))
                count += chunks.delete_many({"files_id": upload}).deleted_count > 0
        return count, size


def _bucket(database: MongoDatabase) -> Documents:
    return database.get_collection(BUCKET, codec_options=_PLAIN)


def _files(database: MongoDatabase) -> Documents:
    return _bucket(database)["files"]


def _chunks(database: MongoDatabase) -> Documents:
    return _bucket(database)["chunks"]


def _now(database: MongoDatabase) -> datetime:
    """The time by the server's clock."""
    now: datetime = database.command("hello", codec_options=_PLAIN)["localTime"]
    return now


def _chunk(upload: ObjectId, view: memoryview, place: int) -> dict[str, Any]:
    data = bytes(view[place : place + _CHUNK])
    return {"files_id": upload, "n": place // _CHUNK, "data": data}


def _insert(chunks: Documents, several: list[dict[str, Any]]) -> None:
    try:
        chunks.insert_many(several, ordered=False)
    except BulkWriteError as error:
        # The id is this writer's alone: what is there, it sent before and was not told of.
        if not is_duplicate(error):
            raise
