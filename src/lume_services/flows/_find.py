"""Finding flows by entry point, and the tasks that a flow calls."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from inspect import getclosurevars
from types import CodeType, FunctionType, ModuleType
from typing import Any

import prefect

from lume_services.errors import FlowError, FlowNotFoundError

__all__ = ["load_flow", "load_package_flow", "may_call", "names_of_tasks"]


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
        FlowError: See `load_flow`.
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


def names_of_tasks(flow: prefect.Flow[..., Any]) -> list[str]:
    """Names of the tasks and flows that a flow's function, and those that it uses, refer to."""
    used = (one for function in _functions(flow) for one in _referred(function))
    return sorted({one.name for one in used if isinstance(one, (prefect.Flow, prefect.Task))})


def may_call(flow: prefect.Flow[..., Any], task_name: str) -> bool:
    """Whether a flow may have a task of that name.

    Tasks come and go while a flow runs, so this reads its code, and would rather accept a name
    than refuse one that is there: it is that of a task referred to or in the same module, or it
    stands in the code (``self.measure()``, ``with_options(name="…")``).
    """
    functions = list(_functions(flow))
    return not functions or any(
        task_name in _texts(function.__code__)
        or any(one.name == task_name for one in _in_sight(function))
        for function in functions
    )


def _functions(flow: prefect.Flow[..., Any]) -> Iterator[FunctionType]:
    """The flow's function, and those of its package that it uses, directly or not."""
    package = flow.fn.__module__.partition(".")[0]
    todo: list[Any] = [flow]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if isinstance(one, (prefect.Flow, prefect.Task)):
            one = one.fn
        if not isinstance(one, FunctionType) or id(one) in seen:
            continue
        seen.add(id(one))
        if one.__module__.partition(".")[0] == package:
            yield one
            todo += _referred(one)


def _referred(function: FunctionType) -> Iterator[Any]:
    """What the names in a function's code stand for: variables around it, and parts of modules."""
    yield from getclosurevars(function).nonlocals.values()
    names = set(_texts(function.__code__))
    for name in names & function.__globals__.keys():
        one = function.__globals__[name]
        yield one
        if isinstance(one, ModuleType):
            yield from (vars(one)[part] for part in names & vars(one).keys())


def _in_sight(function: FunctionType) -> Iterator[prefect.Flow[..., Any] | prefect.Task[..., Any]]:
    for one in (*_referred(function), *function.__globals__.values()):
        if isinstance(one, (prefect.Flow, prefect.Task)):
            yield one


def _texts(code: CodeType) -> Iterator[str]:
    """Names and literal texts in the code of a function and of those defined in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _texts(constant)
