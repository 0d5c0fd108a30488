"""What ``find`` does with documents: match, sort, skip, limit, project. And ``distinct``.

A store that can narrow or order the documents itself still hands them to ``Selection``, so the
answer is the same from every store. Sources, for what the manual says of each:
https://www.mongodb.com/docs/manual/reference/method/cursor.sort/ (arrays sort by their smallest or
largest element, what is missing sorts as null, an empty array before it) and
https://www.mongodb.com/docs/manual/reference/method/db.collection.distinct/.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results.conditions import plain
from lume_services.services.results.order import EMPTY_ARRAY, MISSING, order_key
from lume_services.services.results.projection import Fields, compile_fields
from lume_services.services.results.query import Document, compile_query, split_path

__all__ = ["Fields", "Query", "Selection", "Sort", "distinct_values"]

Query = Mapping[str, Any]
"""Paths, or ``$and``, ``$or``, ``$nor``, to conditions."""
Sort = Sequence[tuple[str, int]]
"""Paths, each with 1 (ascending) or -1 (descending); equal documents keep their order."""


_LIMIT: Final = 2**62
"""Two numbers below it, and one, have a sum that Python's iterators and MongoDB take."""


class Selection:
    """The arguments of ``find``, checked and compiled.

    ``query`` is the query with numpy's scalars made Python's.

    Args:
        query: Which documents; all of them when None.
        fields: Which parts of them; whole documents when None.
        sort: In which order; as they come when None.
        limit: How many at most; all when None.
        skip: How many of the first to leave out.

    Raises:
        UnsupportedQueryError: One of them is not what it has to be.
    """

    def __init__(
        self,
        query: Query | None = None,
        fields: Fields | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> None:
        if limit is not None and (not _is_count(limit) or limit == 0):
            raise UnsupportedQueryError(
                f"limit={limit!r}: give a whole number from 1 on, below 2**62, or None for all."
            )
        if not _is_count(skip):
            raise UnsupportedQueryError(
                f"skip={skip!r}: give a whole number from 0 on, below 2**62."
            )
        self.query: Query | None = plain(query)
        self._matches = (
            None if self.query is None or self.query == {} else compile_query(self.query)
        )
        self._project = None if fields is None else compile_fields(fields)
        self._key = _sort_key(sort) if sort else None
        self._skip = skip
        self._stop = None if limit is None else skip + limit

    def apply(self, documents: Iterable[Document], *, ordered: bool = False) -> Iterator[Document]:
        """Choose from documents.

        Args:
            documents: At least those that match.
            ordered: Whether they already come in the order that is asked for.

        Returns:
            What ``find`` answers. Unless there is something to sort, documents are taken one by
            one, as they are asked for, and no further than the limit.
        """
        if self._matches is not None:
            documents = filter(self._matches, documents)
        if self._key is not None and not ordered:
            if self._stop is None:
                documents = sorted(documents, key=self._key)
            else:
                documents = heapq.nsmallest(self._stop, documents, key=self._key)
        documents = islice(documents, self._skip, self._stop)
        return iter(documents) if self._project is None else map(self._project, documents)


def distinct_values(documents: Iterable[Document], field: str) -> list[Any]:
    """The different values at a path, those of an array one by one, in BSON order.

    Args:
        documents: Where to look; a document without the field adds nothing.
        field: The path.

    Raises:
        UnsupportedQueryError: It is not a path.
    """
    path = split_path(field)
    values: dict[tuple[Any, ...], Any] = {}
    for document in documents:
        for value in _values(document, path):
            values.setdefault(order_key(value), value)
    return [values[key] for key in sorted(values)]


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        if isinstance(value, list):
            yield from value
        else:
            yield value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from _values(value[path[0]], path[1:])
    elif isinstance(value, list):
        element = _element(value, path[0])
        if element is not MISSING:
            yield from _values(element, path[1:])
        else:
            for item in value:
                if isinstance(item, dict):
                    yield from _values(item, path)


def _element(array: list[Any], name: str) -> Any:
    """The element that a part of a path names, MISSING when it is no index of this array."""
    if name.isascii() and name.isdecimal() and int(name) < len(array) and name == str(int(name)):
        return array[int(name)]
    return MISSING


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < _LIMIT


# --- Sort ------------------------------------------------------------------------------------


class _Descending:
    """A key that compares the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.key == other.key

    def __lt__(self, other: _Descending) -> bool:
        return other.key < self.key


_Key = Callable[[Document], tuple[Any, ...]]
_Reached = tuple[Any, tuple[str, ...] | None]
"""Where a sort path has got to and what is left of it; None once the value is final."""


def _sort_key(sort: Sort) -> _Key:
    try:
        pairs = [(split_path(path), direction) for path, direction in sort]
    except (TypeError, ValueError) as error:
        if isinstance(error, UnsupportedQueryError):
            raise
        raise UnsupportedQueryError(
            f"sort takes a list of (path, 1) and (path, -1), not {sort!r}."
        ) from None
    for path, direction in pairs:
        if isinstance(direction, bool) or direction not in (1, -1):
            raise UnsupportedQueryError(
                f"sort: the direction of {'.'.join(path)!r} is 1 or -1, not {direction!r}."
            )
    paths = [path for path, _ in pairs]
    if len(set(paths)) < len(paths):
        raise UnsupportedQueryError(f"sort names a path twice: {sort!r}.")
    reverse = [direction == -1 for _, direction in pairs]

    def directed(keys: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(map(lambda key, back: _Descending(key) if back else key, keys, reverse))

    def key(document: Document) -> tuple[Any, ...]:
        candidates = _candidates([(document, path) for path in paths])
        return min(map(directed, candidates))

    return key


def _candidates(reached: list[_Reached]) -> Iterator[list[tuple[Any, ...]]]:
    """Every combination of keys by which a document can sort: one for each element of an array."""
    reached = [_walk(value, path) for value, path in reached]
    arrays = [value for value, path in reached if path is not None]
    if not arrays:
        yield [EMPTY_ARRAY if value is EMPTY_ARRAY else order_key(value) for value, _ in reached]
        return
    if any(array is not arrays[0] for array in arrays):
        raise UnsupportedQueryError(
            "sort: two of the paths reach different arrays in one document, which leaves no order."
        )
    for element in arrays[0] or [EMPTY_ARRAY]:
        inner = element if isinstance(element, dict) else MISSING
        yield from _candidates(
            [
                (value, None) if path is None else (inner, path) if path else (element, None)
                for value, path in reached
            ]
        )


def _walk(value: Any, path: tuple[str, ...] | None) -> _Reached:
    """Follow a path as far as the next array that has to be opened."""
    if path is None:
        return value, None
    for depth, name in enumerate(path):
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif isinstance(value, list):
            element = _element(value, name)
            if element is MISSING:
                return value, path[depth:]
            value = element
        else:
            return MISSING, None
    return value, () if isinstance(value, list) else None
