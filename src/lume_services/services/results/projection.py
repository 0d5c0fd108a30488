"""Projection: which parts of a document ``find`` answers with.

Source: https://www.mongodb.com/docs/manual/reference/method/db.collection.find/#projection: a path
goes through documents and through the documents in arrays; it never names an array's element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results.query import Document, split_path

__all__ = ["Fields", "compile_fields"]

Fields = Sequence[str] | Mapping[str, int]
"""Paths to keep; or paths to 1 (keep only these) or 0 (drop these). ``_id`` is kept unless it is
dropped by name. An empty list keeps ``_id`` alone, an empty mapping everything."""

_Tree = dict[str, Any]
"""Names to True, where a path ends, or to what is below."""


def compile_fields(fields: Fields) -> Callable[[Document], Document]:
    """Make the function that takes from a document what is asked for.

    Raises:
        UnsupportedQueryError: It names no path, keeps and drops at once, or has a path that is
            part of another one.
    """
    if isinstance(fields, str) or not isinstance(fields, Sequence | Mapping):
        raise UnsupportedQueryError(
            f"fields takes a list of paths, or a mapping of paths to 1 or 0, not {fields!r}."
        )
    chosen = dict(fields) if isinstance(fields, Mapping) else dict.fromkeys(fields, 1)
    for path, wanted in chosen.items():
        if not isinstance(wanted, int) or wanted not in (0, 1):
            raise UnsupportedQueryError(f"fields: {path!r} takes 1 or 0, not {wanted!r}.")
    if not chosen and isinstance(fields, Mapping):
        return lambda document: document
    keep_id = bool(chosen.pop("_id", True))
    directions = set(map(bool, chosen.values()))
    if len(directions) == 2:
        raise UnsupportedQueryError(
            "fields: either name what to keep (1) or what to drop (0); only _id may differ."
        )
    tree: _Tree = {}
    for path in chosen:
        _add(tree, split_path(path))
    # With nothing but _id named, {"_id": 0} drops it and {"_id": 1}, or [], keeps it alone.
    if directions == {True} or (not directions and keep_id):
        if keep_id:
            tree["_id"] = True
        return lambda document: _kept(document, tree)
    if not keep_id:
        tree["_id"] = True
    return lambda document: _dropped(document, tree)


def _add(tree: _Tree, path: tuple[str, ...]) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            break
    if not isinstance(tree, dict) or path[-1] in tree:
        raise UnsupportedQueryError(
            f"fields: {'.'.join(path)!r} is a part of another path there, or has one as its part."
        )
    tree[path[-1]] = True


def _kept(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        return [_kept(item, tree) for item in value if isinstance(item, dict | list)]
    kept = {}
    for name, item in value.items():
        below = tree.get(name)
        if below is True:
            kept[name] = item
        elif below and isinstance(item, dict | list):
            kept[name] = _kept(item, below)
    return kept


def _dropped(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        return [_dropped(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _dropped(item, below) if (below := tree.get(name)) else item
        for name, item in value.items()
        if tree.get(name) is not True
    }
