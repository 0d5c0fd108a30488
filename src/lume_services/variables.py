"""Inputs of a model against its lume-base variables: defaults, types and ranges.

lume-base takes a second to import, so nothing here imports it: whoever has variables has.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lume_services.errors import InvalidInputError

__all__ = ["checked_inputs", "default_values", "describe"]


def default_values(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The default of each input that has one, by name."""
    inputs = ((name, variable) for name, variable in variables.items() if not variable.read_only)
    defaults = ((name, getattr(variable, "default_value", None)) for name, variable in inputs)
    return {name: default for name, default in defaults if default is not None}


def checked_inputs(
    values: Mapping[str, Any],
    variables: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Check inputs and fill in defaults.

    Args:
        values: Values by name.
        variables: lume-base variables by name; those that are read-only are outputs.
        defaults: What is used for inputs that are not given; the variables' own when not given.

    Returns:
        A value for every input.

    Raises:
        InvalidInputError: A name is unknown, read-only or missing, or a value has the wrong type
            or is out of its range. Ranges are enforced whatever the variable's own
            ``default_validation_config`` says.
    """
    names = [name for name, variable in variables.items() if not variable.read_only]
    for name in values:
        if name not in variables:
            raise InvalidInputError(f"{name!r} is not an input of the model{_nearest(name, names)}")
        if name not in names:
            raise InvalidInputError(f"{name!r} is an output of the model and cannot be set")
    defaults = default_values(variables) if defaults is None else defaults
    checked = {}
    for name in names:
        if name in values:
            checked[name] = _checked(variables[name], values[name])
        elif name in defaults:
            checked[name] = defaults[name]
        else:
            raise InvalidInputError(f"{name!r} is missing and has no default value: give one")
    return checked


def describe(name: str, variable: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    """A variable as a row: name, ``in`` or ``out``, default, range, unit, meaning."""
    limits = variable.get("value_range")
    default = variable.get("default_value")
    return (
        name,
        "out" if variable.get("read_only") else "in",
        f"{default:.6g}" if isinstance(default, float) else _text(default),
        f"{limits[0]:.6g} … {limits[1]:.6g}" if limits else "",
        variable.get("unit") or "",
        variable.get("description") or "",
    )


def _text(default: Any) -> str:
    return "" if default is None or isinstance(default, list) else str(default)


def _checked(variable: Any, value: Any) -> Any:
    """A value as its variable wants it, or an error."""
    kind = {cls.__name__ for cls in type(variable).__mro__}
    if isinstance(value, np.generic):
        value = value.item()
    if "ScalarVariable" in kind and "IntVariable" not in kind and type(value) is int:
        value = float(value)
    if "NDVariable" in kind and isinstance(value, list | tuple):
        try:
            value = np.asarray(value, dtype=variable.dtype)
        except (ValueError, TypeError) as error:
            raise InvalidInputError(f"{variable.name}: {error}") from None
    _validate(variable, value, "none")  # only its type: the range is said more clearly here
    limits = getattr(variable, "value_range", None)
    if limits and not limits[0] <= value <= limits[1]:
        unit = _unit(variable)
        raise InvalidInputError(
            f"{variable.name}={_brief(value)}{unit} is outside its range "
            f"[{limits[0]:.6g}, {limits[1]:.6g}]{unit}"
        )
    _validate(variable, value, "error")
    return value


def _validate(variable: Any, value: Any, config: str) -> None:
    # A ParticleGroupVariable takes no second argument, unlike all others.
    takes_config = type(variable).__name__ != "ParticleGroupVariable"
    try:
        variable.validate_value(value, *[config] * takes_config)
    except (ValueError, TypeError) as error:
        message = f"{variable.name}={_brief(value)}{_unit(variable)}: {error}"
        raise InvalidInputError(message) from None


def _unit(variable: Any) -> str:
    return f" {variable.unit}" if getattr(variable, "unit", None) else ""


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype}, shape {value.shape}"
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"


def _nearest(name: str, names: Iterable[str]) -> str:
    names = list(names)
    if found := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {found[0]!r}?"
    return f"; its inputs are {', '.join(names)}" if names else "; it has no inputs"
