"""File references inside results: stored as their records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lume_services.errors import InvalidInputError, SerializationError
from lume_services.files.file import File, known_file_type
from lume_services.serialization import GetBlob, PutBlob

__all__ = ["FileCodec"]


class FileCodec:
    """Stores a ``File`` as its record, without what is in the file."""

    kind = "file"

    def matches(self, value: object) -> bool:
        """Whether it is a reference to a file."""
        return isinstance(value, File)

    def encode(self, value: File, put_blob: PutBlob) -> Mapping[str, Any]:
        """The record of the file."""
        return value.jsonable_dict()

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> File:
        """The reference again.

        A document does not make this process import anything: a file type that it has not imported
        comes back as a plain ``File``, which asks for the type when it is read.
        """
        record = {name: document[name] for name in File.model_fields if name != "obj"}
        try:
            return known_file_type(record["file_type_string"])(**record)
        except InvalidInputError as error:
            raise SerializationError(f"This is not the record of a file: {error}") from error
