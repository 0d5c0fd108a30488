"""MongoDB's query language over Python documents: a query becomes a predicate, once.

The answers are those of MongoDB's manual (https://www.mongodb.com/docs/manual/reference/mql/):
a path reaches through documents and arrays, a number names an array's element, a condition on an
array holds when it holds for the array or for one of its elements, comparisons are between values
of one type, ``null`` matches what is missing. Where the manual is silent (which values a path
reaches in arrays of arrays) the server's behaviour is followed. What is not understood is refused:
a query never has a wrong answer because a part of it was ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results import conditions
from lume_services.services.results.conditions import Predicate
from lume_services.services.results.order import MISSING
from lume_services.services.results.patterns import pattern

__all__ = ["Document", "Predicate", "compile_query", "has_operators", "is_unicode", "split_path"]

Document = dict[str, Any]
_Reach = Callable[[Predicate, bool], Predicate]
"""Makes of a test of one value a predicate over all that a path reaches. The second argument says
whether an array that the path ends in is opened, so that its elements are tested too."""


def compile_query(query: Mapping[str, Any]) -> Predicate:
    """Make the predicate that tells whether a document matches.

    Args:
        query: Paths, or ``$and``, ``$or``, ``$nor``, to conditions; all of them have to hold.

    Returns:
        A function of one document.

    Raises:
        UnsupportedQueryError: An operator is not known, or an operand is not one it can take.
    """
    if not isinstance(query, Mapping):
        raise UnsupportedQueryError(f"A query is a mapping of paths to conditions, not {query!r}.")
    predicates = []
    for name, condition in query.items():
        if isinstance(name, str) and name.startswith("$"):
            predicates.append(_logical(name, condition))
        else:
            predicates.append(_field(condition, partial(_at, split_path(name))))
    return _all_of(predicates)


def split_path(path: object) -> tuple[str, ...]:
    """The parts of a dotted path.

    Raises:
        UnsupportedQueryError: It is not text, or a part of it is nothing that a name can be.
    """
    parts = tuple(path.split(".")) if isinstance(path, str) else ()
    if not is_unicode(path) or any(map(_is_no_name, parts)):
        raise UnsupportedQueryError(
            f"{path!r} is not a path: names, or numbers of array elements, joined by dots."
        )
    return parts


def _is_no_name(part: str) -> bool:
    return not part or part.startswith("$") or "\0" in part


def is_unicode(text: object) -> bool:
    """Whether it is text that a document can hold: without half of a surrogate pair in it."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_operators(condition: object) -> bool:
    """Whether a condition on a path is made of operators; otherwise it is a value to equal."""
    return isinstance(condition, Mapping) and any(
        isinstance(name, str) and name.startswith("$") for name in condition
    )


# --- What a path reaches ---------------------------------------------------------------------


def _at(path: tuple[str, ...], test: Predicate, leaf: bool) -> Predicate:
    """Whether any value that a path reaches in a document passes a test."""
    name, rest = path[0], path[1:]
    if not rest:

        def at_end(document: Document) -> bool:
            value = document.get(name, MISSING)
            if leaf and isinstance(value, list):
                return any(map(test, value)) or test(value)
            return test(value)

        return at_end

    inside = _at(rest, test, leaf)
    among = _at_in_array(rest, test, leaf, inside)

    def on_the_way(document: Document) -> bool:
        value = document.get(name, MISSING)
        if isinstance(value, dict):
            return inside(value)
        if isinstance(value, list):
            return among(value)
        return test(MISSING)

    return on_the_way


def _at_in_array(
    path: tuple[str, ...], test: Predicate, leaf: bool, inside: Predicate
) -> Callable[[list[Any]], bool]:
    """The same for a path that goes on in an array: in each document of it, and by index.

    An array in the array is entered by index only, and an element that the path ends in by index
    is not opened.
    """
    name, rest = path[0], path[1:]
    index = int(name) if name.isascii() and name.isdecimal() and name == str(int(name)) else -1
    below = _at(rest, test, leaf) if rest else test
    among = _at_in_array(rest, test, leaf, below) if rest else None

    def in_array(array: list[Any]) -> bool:
        if any(inside(element) for element in array if isinstance(element, dict)):
            return True
        if not 0 <= index < len(array):
            return False
        element = array[index]
        if among is None or isinstance(element, dict):
            return below(element)
        return isinstance(element, list) and among(element)

    return in_array


# --- Operators -------------------------------------------------------------------------------


def _field(condition: Any, reach: _Reach) -> Predicate:
    """All that is asked of one path."""
    if not has_operators(condition):
        return reach(conditions.comparison("$eq", condition), True)
    predicates = []
    for name, operand in condition.items():
        if name == "$regex":
            operand = (operand, condition.get("$options", ""))
        elif name == "$options" and "$regex" in condition:
            continue
        build = _OPERATORS.get(name)
        if build is None:
            raise _unknown(name)
        predicates.append(build(operand, reach))
    return _all_of(predicates)


def _comparison(name: str) -> Callable[[Any, _Reach], Predicate]:
    return lambda operand, reach: reach(conditions.comparison(name, operand), True)


def _all(operand: Any, reach: _Reach) -> Predicate:
    wanted = conditions.items("$all", operand)
    if not wanted:
        return lambda _: False
    if all(isinstance(item, Mapping) and list(item) == ["$elemMatch"] for item in wanted):
        return _all_of([_elem_match(item["$elemMatch"], reach) for item in wanted])
    return _all_of([reach(conditions.comparison("$eq", item), True) for item in wanted])


def _elem_match(operand: Any, reach: _Reach) -> Predicate:
    if not isinstance(operand, Mapping):
        raise UnsupportedQueryError(f"$elemMatch takes a query or conditions, not {operand!r}.")
    if has_operators(operand) and not operand.keys() & _LOGICAL.keys():
        # Conditions on the elements themselves; one that is an array is not opened.
        matches = _field(operand, lambda test, _: test)
        return reach(lambda value: isinstance(value, list) and any(map(matches, value)), False)
    matches_document = compile_query(operand)

    def matches_element(element: Any) -> bool:
        if isinstance(element, list):
            element = {str(index): item for index, item in enumerate(element)}
        return isinstance(element, dict) and matches_document(element)

    return reach(lambda value: isinstance(value, list) and any(map(matches_element, value)), False)


def _exists(operand: Any, reach: _Reach) -> Predicate:
    if not isinstance(operand, int | float):
        raise UnsupportedQueryError(f"$exists takes true or false, not {operand!r}.")
    exists = reach(lambda value: value is not MISSING, False)
    return exists if operand else _not(exists)


def _not_operators(operand: Any, reach: _Reach) -> Predicate:
    if not has_operators(operand):
        raise UnsupportedQueryError(f"$not takes conditions, {{'$gt': 3}}, not {operand!r}.")
    return _not(_field(operand, reach))


_OPERATORS: Final[dict[str, Callable[[Any, _Reach], Predicate]]] = {
    **{name: _comparison(name) for name in conditions.COMPARISONS},
    "$ne": lambda operand, reach: _not(reach(conditions.comparison("$eq", operand), True)),
    "$in": lambda operand, reach: reach(conditions.membership("$in", operand), True),
    "$nin": lambda operand, reach: _not(reach(conditions.membership("$nin", operand), True)),
    "$exists": _exists,
    "$type": lambda operand, reach: reach(conditions.types(operand), True),
    "$regex": lambda operand, reach: reach(pattern(*operand), True),
    "$size": lambda operand, reach: reach(conditions.size(operand), False),
    "$all": _all,
    "$elemMatch": _elem_match,
    "$not": _not_operators,
}


# --- Predicates put together -----------------------------------------------------------------


def _logical(name: str, operand: Any) -> Predicate:
    combine = _LOGICAL.get(name)
    if combine is None:
        raise _unknown(name)
    queries = conditions.items(name, operand)
    if not queries:
        raise UnsupportedQueryError(f"{name} takes at least one query.")
    return combine([compile_query(query) for query in queries])


def _all_of(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda subject: all(predicate(subject) for predicate in predicates)


def _any_of(predicates: list[Predicate]) -> Predicate:
    return lambda subject: any(predicate(subject) for predicate in predicates)


def _not(predicate: Predicate) -> Predicate:
    return lambda subject: not predicate(subject)


_LOGICAL: Final[dict[str, Callable[[list[Predicate]], Predicate]]] = {
    "$and": _all_of,
    "$or": _any_of,
    "$nor": lambda predicates: _not(_any_of(predicates)),
}


def _unknown(name: object) -> UnsupportedQueryError:
    if name in _OPERATORS or name == "$options":
        beside = " beside $regex" if name == "$options" else ""
        return UnsupportedQueryError(f"{name} belongs to a path{beside}: {{'x': {{'{name}': …}}}}.")
    if name in _LOGICAL:
        return UnsupportedQueryError(f"{name} takes queries and is not a condition on a path.")
    known = ", ".join([*_OPERATORS, "$options", *_LOGICAL])
    return UnsupportedQueryError(f"{name!r} is not a query operator known here. Known: {known}.")
