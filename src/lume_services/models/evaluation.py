"""One way to evaluate whatever a laboratory calls a model.

A model is a ``lume.model.LUMEModel`` (its class or an instance), an object with
``evaluate(dict) -> dict``, or a callable ``dict -> dict``. ``Evaluator`` makes one thing of them:
it knows the variables, checks inputs and returns outputs. lume-base itself takes a second to
import, so nothing here imports it: whoever has a LUMEModel has imported it already.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from lume_services.errors import InvalidInputError, ModelLoadError

__all__ = ["Evaluator", "entry_point_of", "load_entry_point"]


class Evaluator:
    """Evaluates a model: inputs by name in, outputs by name out.

    Args:
        model: A ``LUMEModel`` class or instance, an object with ``evaluate``, or a callable.

    Attributes:
        variables: The model's variables by name, lume-base ``Variable`` objects; empty when the
            model does not say what it takes.

    Raises:
        ModelLoadError: It is none of these, or its class cannot be made without arguments.
    """

    def __init__(self, model: Any) -> None:
        if inspect.isclass(model):
            model = _made(model)
        self.model = model
        self.variables = _variables(model)
        self._evaluate = _evaluation(model, self.variables)
        self._defaults = _defaults(model, self.variables)
        # Simulators keep the state of the last run and are not thread-safe.
        self._lock = Lock()

    @property
    def input_names(self) -> list[str]:
        """Names of the variables that can be set."""
        return [name for name, variable in self.variables.items() if not variable.read_only]

    def schema(self) -> dict[str, dict[str, Any]]:
        """The variables as JSON: name, description, unit, range and the rest, by name."""
        return {name: _schema(variable) for name, variable in self.variables.items()}

    def check(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Check inputs and fill in defaults.

        Args:
            inputs: Values by name; what is not given takes its default.

        Returns:
            A value for every input of the model.

        Raises:
            InvalidInputError: A name is unknown, read-only or missing, or a value has the wrong
                type or is out of its range. Ranges are enforced whatever the variable's own
                ``default_validation_config`` says.
        """
        if not self.variables:
            return dict(inputs)
        names = self.input_names
        for name in inputs:
            if name not in self.variables:
                raise InvalidInputError(
                    f"{name!r} is not an input of the model{_nearest(name, names)}"
                )
            if name not in names:
                raise InvalidInputError(f"{name!r} is an output of the model and cannot be set")
        checked = {}
        for name in names:
            if name in inputs:
                checked[name] = _checked(self.variables[name], inputs[name])
            elif name in self._defaults:
                checked[name] = self._defaults[name]
            else:
                raise InvalidInputError(f"{name!r} is missing and has no default value")
        return checked

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate at inputs that ``check`` has returned; one evaluation at a time."""
        with self._lock:
            outputs = self._evaluate(dict(inputs))
        if not isinstance(outputs, Mapping):
            raise InvalidInputError(
                f"The model returned {type(outputs).__name__}, not a dictionary of outputs by name"
            )
        return dict(outputs)


def entry_point_of(model: Any) -> str | None:
    """Where another process finds this model, as ``module:name``; None when it cannot.

    A class or function is found by its qualified name. An instance is found when a module
    holds it under a name. What stands in a notebook or a script is not importable.
    """
    name = getattr(model, "__qualname__", None)
    if name is not None:
        candidates = [(str(model.__module__), str(name))]
    else:
        candidates = [
            (module_name, name)
            for module_name, module in list(sys.modules.items())
            for name, value in list(getattr(module, "__dict__", {}).items())
            if value is model
        ]
    for module_name, name in candidates:
        if module_name in ("__main__", "__mp_main__"):
            continue
        if _attribute(sys.modules.get(module_name), name) is model:
            return f"{module_name}:{name}"
    return None


def load_entry_point(entry_point: str) -> Any:
    """Import what ``entry_point_of`` named.

    Raises:
        ModelLoadError: The module cannot be imported here, or has no such name.
    """
    module_name, _, name = entry_point.partition(":")
    try:
        found = _attribute(import_module(module_name), name)
    except ImportError as error:
        raise ModelLoadError(
            f"{entry_point} cannot be imported: {error}. Install the package it is in, or start "
            f"where {module_name.partition('.')[0]!r} can be imported."
        ) from error
    if found is None:
        raise ModelLoadError(f"The module {module_name} has no {name!r} any more")
    return found


def _attribute(module: ModuleType | None, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _made(cls: type) -> Any:
    try:
        return cls()
    except TypeError as error:
        raise ModelLoadError(
            f"{cls.__qualname__} cannot be made without arguments ({error}); "
            "register an instance, or a subclass that needs none"
        ) from error


def _is_lume_model(model: Any) -> bool:
    lume = sys.modules.get("lume.model")
    return lume is not None and isinstance(model, lume.LUMEModel)


def _variables(model: Any) -> dict[str, Any]:
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


def _evaluation(
    model: Any, variables: Mapping[str, Any]
) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    if _is_lume_model(model):
        outputs = [name for name, variable in variables.items() if variable.read_only]
        return lambda inputs: _run_lume_model(model, inputs, outputs)
    if callable(evaluate := getattr(model, "evaluate", None)):
        return evaluate  # type: ignore[no-any-return]  # what it returns is checked on each call
    if callable(model):
        return model  # type: ignore[no-any-return]
    raise ModelLoadError(
        f"{type(model).__name__} is not a model: it is no LUMEModel, has no evaluate(dict) "
        "and cannot be called"
    )


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
    return model.get(outputs)  # type: ignore[no-any-return]


def _defaults(model: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each input that is not given: its default, or else what the model holds now."""
    defaults = {}
    for name, variable in variables.items():
        if variable.read_only:
            continue
        value = getattr(variable, "default_value", None)
        if value is None and _is_lume_model(model):
            try:
                value = model.get_value(name)
            except Exception:  # a simulator that has not run yet may raise anything
                value = None
        if value is not None:
            defaults[name] = value
    return defaults


def _checked(variable: Any, value: Any) -> Any:
    """A value as its variable wants it, or an error."""
    kind = {cls.__name__ for cls in type(variable).__mro__}
    if isinstance(value, np.generic):
        value = value.item()
    if "ScalarVariable" in kind and "IntVariable" not in kind and type(value) is int:
        value = float(value)
    if "NDVariable" in kind and isinstance(value, list | tuple):
        value = np.asarray(value, dtype=variable.dtype)
    unit = f" {variable.unit}" if getattr(variable, "unit", None) else ""
    try:
        if "ParticleGroupVariable" in kind:  # takes no second argument, unlike all the others
            variable.validate_value(value)
        else:
            variable.validate_value(value, "none")  # its type; the range is next
            limits = getattr(variable, "value_range", None)
            if limits and not limits[0] <= value <= limits[1]:
                raise InvalidInputError(
                    f"{variable.name}={_brief(value)}{unit} is outside its range "
                    f"[{limits[0]:.6g}, {limits[1]:.6g}]{unit}"
                )
            variable.validate_value(value, "error")
    except InvalidInputError:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"{variable.name}={_brief(value)}{unit}: {error}") from None
    return value


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype}, shape {value.shape}"
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"


def _nearest(name: str, names: Iterable[str]) -> str:
    names = list(names)
    if found := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {found[0]!r}?"
    return f"; its inputs are {', '.join(names)}" if names else "; it has no inputs"


def _schema(variable: Any) -> dict[str, Any]:
    try:
        return dict(variable.model_dump(mode="json"))
    except Exception:  # a variable of a laboratory's own, with what JSON cannot hold
        kept = ("name", "description", "read_only", "unit", "value_range", "shape")
        known = {name: getattr(variable, name, None) for name in kept}
        return {"variable_class": type(variable).__name__} | {
            name: value for name, value in known.items() if value is not None
        }
