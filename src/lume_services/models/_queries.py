"""Results of several flows, asked for with the names that users know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lume_services.errors import InvalidInputError
from lume_services.results import field
from lume_services.serialization import decode_name
from lume_services.services.results.selection import Selection

if TYPE_CHECKING:
    from lume_services.services.models.db.schema import Flow
    from lume_services.services.results import ResultsDBService

__all__ = ["documents_of"]


def documents_of(
    flows: Iterable[Flow],
    variables: Iterable[str],
    results_db: ResultsDBService,
    *,
    query: Mapping[str, Any] | None,
    sort: Sequence[tuple[str, int]] | None,
    limit: int | None,
) -> list[dict[str, Any]]:
    """Documents of the results of some flows.

    Args:
        flows: The flows; those of a project are in one collection.
        variables: Names of the model's variables, which may hold dots.
        results_db: Where the results are.
        query: Which ones, all when None.
        sort: In which order.
        limit: At most so many.
    """
    if isinstance(sort, str):
        raise InvalidInputError(f"sort={sort!r}: write [({sort!r}, 1)], or -1 for descending")
    ids: dict[str, list[str]] = {}
    for flow in flows:
        ids.setdefault(flow.project_name, []).append(flow.flow_id)
    names = list(variables)
    if (query or sort) and not names:
        names = list(_recorded_names(ids, results_db))
    wanted = _stored_names(query or {}, names)
    order = [(_stored_path(path, names), direction) for path, direction in sort or ()] or None
    found: list[dict[str, Any]] = []
    for project_name, flow_ids in ids.items():
        ours = {"flow_id": flow_ids[0] if len(flow_ids) == 1 else {"$in": flow_ids}}
        both = {"$and": [ours, wanted]} if wanted else ours
        found += results_db.find(project_name, both, sort=order, limit=limit)
    if len(ids) > 1:
        return list(Selection(None, None, order, limit, 0).apply(iter(found)))
    return found


def _recorded_names(ids: Mapping[str, list[str]], results_db: ResultsDBService) -> set[str]:
    """Names in a recorded result, of a model that does not say which variables it has."""
    for project_name, flow_ids in ids.items():
        document = results_db.find_one(project_name, {"flow_id": {"$in": flow_ids}})
        if document is not None:
            return {decode_name(name) for name in (*document["inputs"], *document["outputs"])}
    return set()


def _stored_names(query: Any, variables: Iterable[str]) -> Any:
    """A query in which variables whose names hold dots are written as they are stored."""
    if isinstance(query, Mapping):
        return {
            _stored_path(name, variables): _stored_names(value, variables)
            for name, value in query.items()
        }
    if isinstance(query, list):
        return [_stored_names(value, variables) for value in query]
    return query


def _stored_path(path: str, variables: Iterable[str]) -> str:
    part, _, rest = path.partition(".")
    if part in ("inputs", "outputs"):
        for name in variables:
            if "." in name and (rest == name or rest.startswith(f"{name}.")):
                return field(part, name) + rest.removeprefix(name)
    return path
