"""What travels between whoever asks for a run and the job that carries it out.

Parameters stand in Prefect's own record of the run, where they can be read on its pages, as far as
JSON has them; what it has not, and what is long, goes as a blob of the results database, and so
does everything that a run gives back. Neither needs a disk that both can see.
"""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lume_services import errors
from lume_services.errors import LUMEServicesError, RunError, SerializationError
from lume_services.serialization import GetBlob, PutBlob, decode, encode, from_json, to_json

__all__ = ["Outcome", "RemoteFailure", "from_api", "to_api"]

_LONG: Final = 32_000
"""Characters of JSON. Prefect takes about half a megabyte for all parameters together."""
_EXACT: Final = 2**53
"""Whole numbers beyond it are not kept by everything that reads JSON."""
_TAG: Final = "%value"
_LONG_TAG: Final = "%long-value"


def to_api(parameters: Mapping[str, Any], put_blob: PutBlob) -> dict[str, Any]:
    """Parameters as Prefect's API takes them.

    Args:
        parameters: Values by name.
        put_blob: Where large ones go.

    Raises:
        SerializationError: A value cannot be sent; the message names the parameter.
    """
    return {name: _to_api(name, value, put_blob) for name, value in parameters.items()}


def from_api(parameters: Mapping[str, Any], get_blob: GetBlob) -> dict[str, Any]:
    """The inverse of ``to_api``.

    Raises:
        BlobNotFoundError: A large value is not in this results database.
    """
    return {name: _from_api(value, get_blob) for name, value in parameters.items()}


@dataclass(frozen=True)
class RemoteFailure:
    """An exception that a job ended with."""

    type: str
    """``module.Class``; the class alone for those of Python."""
    message: str
    traceback: str
    arguments: tuple[Any, ...] | None = None
    """What it was made with, where that can be sent."""

    def exception(self, otherwise: builtins.type[LUMEServicesError] = RunError) -> Exception:
        """One to raise in its place.

        Of the same type where that is one of Python's or of this package: no other is imported on
        account of what was stored. The traceback is a note of it.
        """
        module, _, name = self.type.rpartition(".")
        known: Any = getattr(errors, name, None) if module == errors.__name__ else None
        if not module:
            known = getattr(builtins, name, None)
        made: Exception | None = None
        if isinstance(known, type) and issubclass(known, Exception):
            try:
                made = known(*((self.message,) if self.arguments is None else self.arguments))
            except Exception:  # its constructor wants something else
                made = None
        if made is None:
            made = otherwise(f"{self.type}: {self.message}")
        made.add_note(self.traceback.rstrip())
        return made


@dataclass(frozen=True)
class Outcome:
    """What came of a run: a value, or a failure; and what its tasks have returned."""

    value: Any = None
    failure: RemoteFailure | None = None
    task_results: dict[str, Any] = field(default_factory=dict)

    def store(self, put_blob: PutBlob) -> str:
        """Store it as a blob; its digest.

        A result of a task that cannot be stored is left out.

        Raises:
            SerializationError: The value cannot be stored.
            ResultsDBError: The results database failed.
        """
        tasks = {}
        for name, value in self.task_results.items():
            try:
                tasks[name] = encode(value, put_blob)
            except SerializationError:
                continue
        document: dict[str, Any] = {"value": encode(self.value, put_blob, path="the value")}
        document["tasks"] = tasks
        if self.failure is not None:
            document["failure"] = {
                "type": self.failure.type,
                "message": self.failure.message,
                "traceback": self.failure.traceback,
                "arguments": _arguments(self.failure, put_blob),
            }
        return put_blob(to_json(document))

    @classmethod
    def load(cls, digest: str, get_blob: GetBlob) -> Outcome:
        """Read what ``store`` stored.

        Raises:
            BlobNotFoundError: It is not in this results database.
        """
        document = from_json(get_blob(digest))
        failure = document.get("failure")
        if failure is not None:
            arguments = failure.pop("arguments")
            arguments = None if arguments is None else tuple(decode(arguments, get_blob))
            failure = RemoteFailure(**failure, arguments=arguments)
        tasks = {name: decode(value, get_blob) for name, value in document["tasks"].items()}
        return cls(decode(document["value"], get_blob), failure, tasks)


def _arguments(failure: RemoteFailure, put_blob: PutBlob) -> Any:
    if failure.arguments is None:
        return None
    try:
        return encode(list(failure.arguments), put_blob)
    except LUMEServicesError:
        return None


def _to_api(name: str, value: Any, put_blob: PutBlob) -> Any:
    if _is_plain(value) and len(json.dumps(value)) <= _LONG:
        return value
    text = to_json(encode(value, put_blob, path=name))
    # As text, since it may hold what JSON has no word for, such as NaN.
    return {_TAG: text.decode()} if len(text) <= _LONG else {_LONG_TAG: put_blob(text)}


def _from_api(value: Any, get_blob: GetBlob) -> Any:
    if isinstance(value, dict) and value.keys() == {_TAG}:
        return decode(from_json(value[_TAG].encode()), get_blob)
    if isinstance(value, dict) and value.keys() == {_LONG_TAG}:
        return decode(from_json(get_blob(value[_LONG_TAG])), get_blob)
    return value


def _is_plain(value: Any) -> bool:
    """Whether JSON gives back the same, and Prefect takes it for nothing else."""
    kind = type(value)
    if kind is dict:
        return all(
            type(name) is str and not name.startswith(("%", "__prefect")) and _is_plain(one)
            for name, one in value.items()
        )
    if kind is list:
        return all(map(_is_plain, value))
    if kind is int:
        return bool(abs(value) < _EXACT)
    if kind is float:
        return math.isfinite(value)
    return value is None or kind in (bool, str)
