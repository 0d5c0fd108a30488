"""Results among the values of others: what a run of a model gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lume_services.results.generic import Result
from lume_services.serialization import GetBlob, PutBlob, from_json, to_json

__all__ = ["ResultCodec"]


class ResultCodec:
    """A result as the document that is stored of it, with its id."""

    kind = "result"

    def matches(self, value: object) -> bool:
        """Whether it is a result."""
        return isinstance(value, Result)

    def encode(self, value: Result, put_blob: PutBlob) -> Mapping[str, Any]:
        """Its document, as JSON."""
        return {"document": to_json(value.get_db_dict(put_blob))}

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Result:
        """The result again; large values are read when they are asked for."""
        return Result.from_document(from_json(document["document"]), get_blob)
