"""A document of 0.x to a result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lume_services.errors import InvalidInputError, SerializationError
from lume_services.results._classes import stored_class
from lume_services.results.generic import Result
from lume_services.results.legacy.pickles import array_from_pickle

__all__ = ["result_from_original"]

# Fields of a document, not of the result: what 0.x called the collection and its index.
_ABOUT = {"_id", "collection", "model_type", "index", "unique_on", "unique_hash"}
_OWN_CLASS = re.compile(r"lume_services\.(?:\w+\.)*results\..*?(?P<name>\w+)")
_OWN_FILE = re.compile(r"lume_services\.(?:\w+\.)*file\b.*?(?P<name>Text|HDF5|Image|YAML)\w*\]?")


def result_from_original(document: Mapping[str, Any], project_name: str) -> Result:
    """The result that LUME-services 0.x stored.

    Arrays are read from their pickles, frames from their JSON, and files from their records. Text
    is a frame when it is what pandas makes of one: JSON of columns, each with the same rows. The
    index of a frame is text, as JSON has it, unless it just counts.

    Args:
        document: What 0.x stored, by way of a ``ResultsDB``.
        project_name: The collection that it is in.

    Raises:
        SerializationError: A value cannot be read, or its class is not known here or has not the
            fields of the document. The message says which.
    """
    kind = stored_class(_class_name(document["result_type_string"]), Result)
    given = {name: value for name, value in document.items() if name not in _ABOUT}
    given.pop("result_type_string")
    if unknown := sorted(given.keys() - kind.model_fields.keys()):
        raise SerializationError(
            f"{kind.__name__} has no field {', '.join(unknown)}: give the class these fields, or "
            "store the result anew as one of another class."
        )
    values = {name: _value(value, name) for name, value in given.items()}
    try:
        return kind(**{**values, "project_name": project_name})
    except InvalidInputError as error:
        raise SerializationError(str(error)) from error


def _class_name(name: Any) -> Any:
    """The name of a result class in this version; 0.x also wrote dots where a colon stands now."""
    if not isinstance(name, str):
        return name
    if own := _OWN_CLASS.fullmatch(name):
        plain = {"GenericResult": "Result"}.get(own["name"], own["name"])
        return f"lume_services.results:{plain}"
    return name if ":" in name else ":".join(name.rsplit(".", 1))


def _value(value: Any, path: str) -> Any:
    try:
        if isinstance(value, bytes):
            return array_from_pickle(value)
        if isinstance(value, str):
            return _frame(value)
        if isinstance(value, dict) and {"filename", "file_type_string"} <= value.keys():
            return _file(value)
    except SerializationError as error:
        raise SerializationError(f"{path}: {error}") from error
    if isinstance(value, dict):
        return {name: _value(member, f"{path}.{name}") for name, member in value.items()}
    return value


def _frame(text: str) -> Any:
    """A frame, if the text is one; the text, if not."""
    if not text.startswith("{"):
        return text
    try:
        columns = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(columns, dict) or not all(isinstance(c, dict) for c in columns.values()):
        return text
    rows = list(next(iter(columns.values()), {}))
    if any(list(column) != rows for column in columns.values()):
        return text
    import pandas as pd

    counts = rows == [str(number) for number in range(len(rows))]
    index = pd.RangeIndex(len(rows)) if counts else pd.Index(rows, dtype=object)
    return pd.DataFrame({n: list(c.values()) for n, c in columns.items()}, index=index)


def _file(record: dict[str, Any]) -> Any:
    from lume_services.files import File

    own = _OWN_FILE.fullmatch(str(record["file_type_string"]))
    name = f"lume_services.files:{own['name']}File" if own else record["file_type_string"]
    return File.from_record({**record, "file_type_string": name})
