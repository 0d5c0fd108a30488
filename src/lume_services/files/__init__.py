"""File types: references to files, and how what is in them is written and read."""

from __future__ import annotations

from lume_services.files.codec import FileCodec
from lume_services.files.file import File, get_file_from_serializer_string
from lume_services.files.types import HDF5File, ImageFile, TextFile, YAMLFile
from lume_services.serialization import register

__all__ = [
    "FILE_CODEC",
    "File",
    "HDF5File",
    "ImageFile",
    "TextFile",
    "YAMLFile",
    "get_file_from_serializer_string",
]

FILE_CODEC = FileCodec()
"""How results store references to files; named in ``lume_services.plugins``."""

register(FILE_CODEC)
