"""What a model is, and how each kind is evaluated."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

__all__ = ["evaluation_of", "held_values", "made", "schema", "variables_of"]


def made(model: Any) -> Any:
    """The model, of its class or as it is.

    Raises:
        TypeError: Its class cannot be made without arguments.
    """
    return model() if inspect.isclass(model) else model


def variables_of(model: Any) -> dict[str, Any]:
    """The variables of a LUMEModel, or the lists of them that lume-torch models have."""
    supported = getattr(model, "supported_variables", None)
    if isinstance(supported, Mapping):
        return dict(supported)
    variables: dict[str, Any] = {}
    for attribute, read_only in (("input_variables", False), ("output_variables", True)):
        declared: Any = getattr(model, attribute, None) or ()
        for variable in declared.values() if isinstance(declared, Mapping) else declared:
            variables[variable.name] = variable.model_copy(update={"read_only": read_only})
    return variables


def evaluation_of(
    model: Any, variables: Mapping[str, Any]
) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    """What takes inputs by name and gives outputs by name.

    Raises:
        TypeError: It is no model.
    """
    if _is_lume_model(model):
        outputs = [name for name, variable in variables.items() if variable.read_only]
        return lambda inputs: _run_lume_model(model, inputs, outputs)
    if callable(evaluate := getattr(model, "evaluate", None)):
        return evaluate  # type: ignore[no-any-return]  # what it returns is checked on each call
    if callable(model):
        return model  # type: ignore[no-any-return]  # likewise
    raise TypeError(
        f"{type(model).__name__} is not a model: it is no LUMEModel, has no evaluate(dict) "
        "and cannot be called"
    )


def held_values(model: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a LUMEModel holds now of the inputs that have no default."""
    held = {}
    for name, variable in variables.items() if _is_lume_model(model) else ():
        if not variable.read_only and getattr(variable, "default_value", None) is None:
            # A simulator that has not run yet may raise anything.
            with suppress(Exception):
                held[name] = model.get_value(name)
    return held


def schema(variable: Any) -> dict[str, Any]:
    """A variable as plain data, for the registry."""
    try:
        return dict(variable.model_dump(mode="json"))
    except Exception:  # a variable of a laboratory's own, with what JSON cannot hold
        kept = ("name", "description", "read_only", "unit", "value_range", "shape")
        known = {name: getattr(variable, name, None) for name in kept}
        return {"variable_class": type(variable).__name__} | {
            name: value for name, value in known.items() if value is not None
        }


def _is_lume_model(model: Any) -> bool:
    lume = sys.modules.get("lume.model")
    return lume is not None and isinstance(model, lume.LUMEModel)


def _run_lume_model(model: Any, inputs: dict[str, Any], outputs: list[str]) -> Mapping[str, Any]:
    actions = sys.modules.get("lume.actions")
    # An ActionModel's own reset writes the defaults, None where there is none; every input is set
    # below in any case.
    if actions is None or getattr(type(model), "reset", None) is not actions.ActionModel.reset:
        model.reset()
    model.set(inputs)
    # A StagedModel leaves the stages after a changed one stale until it is run from the start.
    if run_start_to_end := getattr(model, "run_start_to_end", None):
        run_start_to_end()
    return model.get(outputs)  # type: ignore[no-any-return]  # lume-base is untyped here
