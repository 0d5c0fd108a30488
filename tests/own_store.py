"""A results database of one's own: five methods, written from the base class's docstrings."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from lume_services.errors import BlobNotFoundError, DuplicateResultError, SerializationError
from lume_services.services.results import ResultsDB


class FolderDB(ResultsDB):
    """A folder of JSON lines, one file a collection, and of blobs; for one process.

    When a call of insert_many fails, nothing of it is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = folder, Lock()

    @property
    def address(self) -> str:
        return f"folder://{self.folder}"

    def insert_many(self, collection: str, documents: Iterable[dict[str, Any]]) -> list[str]:
        with self._lock:
            stored = list(self.scan(collection))
            ids = {document["_id"] for document in stored}
            by_hash = {document.get("unique_hash"): document["_id"] for document in stored}
            inserted, lines = [], []
            for document in documents:
                unique_hash, name = document.get("unique_hash"), document.get("_id")
                if unique_hash is None or unique_hash not in by_hash:
                    if name in ids:
                        raise DuplicateResultError(f"_id {name!r} is taken in {collection!r}.")
                    name = name or uuid4().hex
                    ids.add(name)
                    by_hash[unique_hash] = name
                    new = {"_id": name, **document} | {"_id": name}
                    lines.append(json.dumps(new, default=tagged) + "\n")
                inserted.append(name if unique_hash is None else by_hash[unique_hash])
            with (self.folder / f"{collection}.jsonl").open("a") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
        return inserted

    def scan(self, collection: str | None) -> Iterator[dict[str, Any]]:
        for path in self.folder.glob(f"{collection or '*'}.jsonl"):
            for line in path.read_text().splitlines():
                yield json.loads(line, object_hook=untagged)

    def delete(self, collection: str, ids: Iterable[str]) -> int:
        path, gone = self.folder / f"{collection}.jsonl", set(ids)
        with self._lock:
            lines = path.read_text().splitlines(keepends=True) if path.exists() else []
            kept = [line for line in lines if json.loads(line)["_id"] not in gone]
            if len(kept) < len(lines):
                path.with_suffix(".new").write_text("".join(kept))
                path.with_suffix(".new").replace(path)
        return len(lines) - len(kept)

    def put_blob(self, data: Any) -> str:
        digest = sha256(bytes(data)).hexdigest()
        new = self.folder / f"{uuid4().hex}.new"
        new.write_bytes(bytes(data))
        new.replace(self.folder / f"{digest}.blob")
        return digest

    def get_blob(self, digest: str) -> bytearray:
        path = self.folder / f"{digest}.blob"
        if "/" in digest or not path.exists():
            raise BlobNotFoundError(f"There is no blob {digest}.")
        return bytearray(path.read_bytes())


def tagged(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"%bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        milliseconds = value.replace(microsecond=value.microsecond // 1000 * 1000)
        return {"%date": milliseconds.isoformat()}
    raise SerializationError(f"A {type(value).__name__} is not a value of a document.")


def untagged(value: dict[str, Any]) -> Any:
    if "%bytes" in value:
        return base64.b64decode(value["%bytes"])
    return datetime.fromisoformat(value["%date"]) if "%date" in value else value
