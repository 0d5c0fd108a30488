"""Finding flows by entry point."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import prefect

from lume_services.errors import FlowError, FlowNotFoundError

__all__ = ["load_flow", "load_package_flow", "meant_task"]


def load_flow(entrypoint: str) -> prefect.Flow[..., Any]:
    """Import a flow.

    The entry point may name the decorator in place of the flow (``pkg.flow:flow`` where ``flow``
    is what ``from prefect import flow`` brought in) or a module: the one flow in there is meant.

    Args:
        entrypoint: ``module:name``.

    Raises:
        FlowError: It cannot be imported, or which flow is meant cannot be told.
    """
    module_name, _, name = entrypoint.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise FlowError(f"The flow {entrypoint!r} cannot be imported: {error}") from error
    found = getattr(module, name, None) if name else module
    if isinstance(found, prefect.Flow):
        return found
    if isinstance(found, ModuleType):
        module = found
    flows = _flows_in(module)
    if len(flows) == 1:
        return flows[0]
    what = "is not there" if found is None else f"is a {type(found).__name__}, not a flow"
    names = ", ".join(repr(flow.fn.__name__) for flow in flows) or "none"
    raise FlowError(
        f"The flow {entrypoint!r} {what}, and the flows in {module.__name__!r} are: {names}."
    )


def load_package_flow(package: str) -> prefect.Flow[..., Any]:
    """Import the flow that an installed package announces as ``<package>.flow``.

    Args:
        package: The name that the package is imported by.

    Raises:
        FlowNotFoundError: It announces none, or is not installed.
        FlowError: See ``load_flow``.
    """
    points = list(entry_points(group="orchestration", name=f"{package}.flow"))
    if not points:
        raise FlowNotFoundError(
            f"No installed package announces an entry point '{package}.flow' in the group "
            "'orchestration': is the package installed here?"
        )
    return load_flow(points[0].value)


def _flows_in(module: ModuleType) -> list[prefect.Flow[..., Any]]:
    flows = {id(one): one for one in vars(module).values() if isinstance(one, prefect.Flow)}
    own = [one for one in flows.values() if one.fn.__module__ == module.__name__]
    return own or list(flows.values())


def meant_task(flow: prefect.Flow[..., Any], name: str) -> str | None:
    """The task that a name which is not quite right may mean: one in the flow's module.

    Tasks may come from anywhere while a flow runs, so that this can be no more than a hint.

    Returns:
        The nearest name; None when nothing is near, or when the name is that of a task there.
    """
    module = getattr(flow.fn, "__globals__", {})
    names = {one.name for one in module.values() if isinstance(one, (prefect.Flow, prefect.Task))}
    near = () if name in names else difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    return near[0] if near else None
