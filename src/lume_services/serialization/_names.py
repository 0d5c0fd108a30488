"""Names in documents: one rule, the same on every store and in queries.

Names of process variables hold dots (``XCOR.VAL``), which separate the parts of a path in a
query; and ``%`` starts the names that are reserved. Both are written as in a URL.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lume_services.errors import SerializationError

__all__ = ["decode_name", "encode_name"]

# What no encoded name holds.
_RAW = re.compile(r"%(?!25|2E)|\.")

# The same few names come with every result of a model.
_remembered = lru_cache(maxsize=4096)


@_remembered
def encode_name(name: str) -> str:
    """The name as it stands in documents and queries: ``%`` is ``%25`` and ``.`` is ``%2E``.

    Args:
        name: Any text that is not empty, holds no NUL and does not start with ``$``.

    Raises:
        SerializationError: The name is not of that form.
    """
    if not isinstance(name, str):
        raise SerializationError(
            f"The name {name!r} is of type {type(name).__name__}. Names are text: use "
            f"{str(name)!r}."
        )
    if not name or "\0" in name or name.startswith("$"):
        raise SerializationError(
            f"The name {name!r} cannot be stored: names are not empty, hold no NUL character and "
            "do not start with '$'. Rename it."
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise SerializationError(f"The name {name!r} is not valid Unicode: {error}.") from error
    return name.replace("%", "%25").replace(".", "%2E")


@_remembered
def decode_name(name: str) -> str:
    """The inverse of :func:`encode_name`.

    Raises:
        SerializationError: No name is encoded like this.
    """
    if not isinstance(name, str) or _RAW.search(name):
        raise SerializationError(f"{name!r} is not a name that this version stores.")
    return name.replace("%2E", ".").replace("%25", "%")
