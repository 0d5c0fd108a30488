"""Stored values that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from lume_services.errors import LUMEServicesError, SerializationError
from lume_services.results._summary import summary
from lume_services.serialization import GetBlob, decode, decode_name

__all__ = ["LazyDict", "stored_values", "summaries"]


def stored_values(document: Any, get_blob: GetBlob | None) -> dict[str, Any]:
    """The inputs or outputs in a stored result.

    Values that are in the document are decoded here and now. Those that need a blob, or cannot be
    decoded here at all, wait in a ``LazyDict`` until they are asked for by name: one image does
    not have to be read for the numbers beside it, nor torch to be installed.

    Raises:
        SerializationError: It is not a mapping of names to values.
    """
    if not isinstance(document, dict):
        raise SerializationError(f"Stored values are a mapping, not {document!r:.200}.")
    if "%kind" in document:  # Too large even for names without their values.
        values = decode(document, get_blob)
        if not isinstance(values, dict):
            raise SerializationError(f"Stored values are a mapping, not a {type(values).__name__}.")
        return values
    values, waiting = {}, {}
    for encoded, value in document.items():
        name = decode_name(encoded)
        try:
            values[name] = decode(value)
        except LUMEServicesError:
            values[name], waiting[name] = None, value
    return LazyDict(values, waiting, get_blob) if waiting else values


def _complete(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def completed(self: LazyDict, *args: Any, **options: Any) -> Any:
        self._load(*self._waiting)
        return method(self, *args, **options)

    return completed


class LazyDict(dict[str, Any]):
    """A dict, some values of which are decoded on first access.

    Args:
        values: All names in order, with the values that are known.
        waiting: The documents of those that are not.
        get_blob: Where their blobs are.
    """

    def __init__(
        self, values: dict[str, Any], waiting: dict[str, Any], get_blob: GetBlob | None
    ) -> None:
        super().__init__(values)
        self._waiting = waiting
        self._get_blob = get_blob

    def _load(self, *names: Any) -> None:
        for name in names:
            if name in self._waiting:
                try:
                    value = decode(self._waiting[name], self._get_blob)
                except LUMEServicesError as error:
                    error.add_note(f"This is the value of {name!r}.")
                    raise
                super().__setitem__(name, value)
                self._waiting.pop(name, None)

    def __getitem__(self, name: str) -> Any:
        self._load(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name, or the default."""
        self._load(name)
        return super().get(name, default)

    def __setitem__(self, name: str, value: Any) -> None:
        self._waiting.pop(name, None)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._waiting.pop(name, None)

    # Overridden so that dict(self) and {**self} ask for items one by one.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def __repr__(self) -> str:
        waiting = {name: f"<{summary(value)}, not loaded>" for name, value in self._waiting.items()}
        items = (f"{n!r}: {waiting.get(n) or repr(self[n])}" for n in self)
        return f"{{{', '.join(items)}}}"

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    items = _complete(dict.items)
    values = _complete(dict.values)
    copy = _complete(dict.copy)
    pop = _complete(dict.pop)
    popitem = _complete(dict.popitem)
    setdefault = _complete(dict.setdefault)
    update = _complete(dict.update)
    clear = _complete(dict.clear)
    __eq__ = _complete(dict.__eq__)
    __ne__ = _complete(dict.__ne__)
    __or__ = _complete(dict.__or__)
    __ror__ = _complete(dict.__ror__)
    __ior__ = _complete(dict.__ior__)


def summaries(values: Mapping[str, Any], most: int) -> Iterator[tuple[str, str]]:
    """The first names with a line about each value; those that are not loaded yet stay so."""
    waiting = values._waiting if isinstance(values, LazyDict) else {}
    for name in list(values)[:most]:
        if name in waiting:
            yield name, f"{summary(waiting[name])}, not loaded"
        else:
            yield name, summary(values[name])
