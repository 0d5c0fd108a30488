"""The indexes of collections, which go when somebody drops or restores a collection."""

from __future__ import annotations

import math
from time import monotonic
from typing import Final

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from lume_services.errors import ResultsDBUnavailableError
from lume_services.services.results.mongodb.connection import Documents
from lume_services.services.results.mongodb.narrowing import SEQUENCE

__all__ = ["CHUNKS", "DOCUMENTS", "FILES", "Indexes"]

DOCUMENTS: Final = [
    # Of text only: documents without a hash, or with None, are all different.
    IndexModel("unique_hash", unique=True, partialFilterExpression={"unique_hash": {"$gte": ""}}),
    IndexModel([("flow_id", 1), (SEQUENCE, 1)]),
    IndexModel([("inputs_hash", 1), (SEQUENCE, 1)]),
    IndexModel([("date_modified", -1), (SEQUENCE, 1)]),
    IndexModel(SEQUENCE),
]
FILES: Final = [IndexModel("filename", unique=True)]
CHUNKS: Final = [IndexModel([("files_id", 1), ("n", 1)], unique=True)]

_AGAIN_S: Final = 60.0
"""Seconds after which they are seen to again; where they are, it takes a few milliseconds."""


class Indexes:
    """Sees to it that collections have their indexes before something is stored."""

    def __init__(self) -> None:
        self._made: dict[str, float] = {}

    def ensure(self, target: Documents, indexes: list[IndexModel]) -> None:
        """Make what is missing, if that was not done just now.

        Raises:
            ResultsDBUnavailableError: Something is there twice; it may be mended, and results then
                come from the outbox.
            PyMongoError: The server is lost or refused.
        """
        now = monotonic()
        if now - self._made.get(target.name, -math.inf) < _AGAIN_S:
            return
        try:
            target.create_indexes(indexes)
        except DuplicateKeyError as error:
            twice = (error.details or {}).get("keyValue", error)
            raise ResultsDBUnavailableError(
                f"The collection {target.full_name!r} holds twice what may be there once: {twice}. "
                "Nothing more is stored in it until all but one of each are deleted."
            ) from error
        self._made[target.name] = now

    def forget(self) -> None:
        """See to all of them again."""
        self._made.clear()
