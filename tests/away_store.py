"""A results database that is away on demand, for this process and any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lume_services.errors import ResultsDBUnavailableError
from lume_services.services.results.sqlite import SQLiteResultsDB


class AwayDB(SQLiteResultsDB):
    """SQLite in a folder; away as long as there is a file ``away`` in it."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(Path(folder) / "shared.db")
        self.switch = Path(folder) / "away"
        self.asked = 0
        """How often it was asked to store something, away or not."""

    @property
    def address(self) -> str:
        return f"away://{self.path.parent.name}"

    def leave(self) -> None:
        self.switch.touch()

    def come_back(self) -> None:
        self.switch.unlink(missing_ok=True)

    def insert_many(self, collection: str, documents: Iterable[dict[str, Any]]) -> list[str]:
        self.asked += 1
        self._check()
        return super().insert_many(collection, documents)

    def put_blob(self, data: Any) -> str:
        self.asked += 1
        self._check()
        return super().put_blob(data)

    def get_blob(self, digest: str) -> bytearray:
        self._check()
        return super().get_blob(digest)

    def find(self, *arguments: Any, **named: Any) -> Iterator[dict[str, Any]]:
        self._check()
        return super().find(*arguments, **named)

    def scan(self, collection: str | None) -> Iterator[dict[str, Any]]:
        self._check()
        return super().scan(collection)

    def _check(self) -> None:
        if self.switch.exists():
            raise ResultsDBUnavailableError(f"{self.address} is away.")
