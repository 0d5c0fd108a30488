"""Names of projects as names of MongoDB's collections.

They are the same, but for what MongoDB refuses or what would be taken for the collections of blobs:
there a character is written ``%XX``, the hexadecimal code of it, as in URLs. Sources:
https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
"""

from __future__ import annotations

import re
from typing import Final

from lume_services.errors import ResultsDBError
from lume_services.services.results.documents import check_collection
from lume_services.services.results.mongodb.blobs import BUCKET

__all__ = ["collection_name", "project_name"]

_ESCAPED: Final = re.compile(
    r"%(?=[0-9A-F]{2})"  # so that it is not read as an escape
    rf"|\$|^\.|\.$|(?<=\.)\.|^{BUCKET[0]}(?={BUCKET[1:]}\.)|^s(?=ystem\.)"
)
_ESCAPE: Final = re.compile("%([0-9A-F]{2})")
_LONGEST: Final = 255
"""Bytes, of the database's and the collection's name with a dot between."""


def collection_name(project: str, database: str) -> str:
    """The name of the collection that holds a project's documents.

    Args:
        project: The project's name.
        database: The name of the database.

    Raises:
        ResultsDBError: It is no name, or too long for MongoDB.
    """
    check_collection(project)
    name = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", project)
    length = len(f"{database}.{name}".encode())
    if length > _LONGEST:
        raise ResultsDBError(
            f"The name of the collection {project[:40]!r}… is too long for MongoDB: with the "
            f"database's it takes {length} bytes, and {_LONGEST} are allowed."
        )
    return name


def project_name(collection: str, database: str) -> str | None:
    """The project whose documents a collection holds; None when it is no project's."""
    name = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), collection)
    try:
        ours = collection_name(name, database)
    except ResultsDBError:  # no project has this name
        return None
    return name if ours == collection else None
