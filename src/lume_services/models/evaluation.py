"""One way to evaluate whatever a laboratory calls a model.

A model is a ``lume.model.LUMEModel`` (its class or an instance), an object with
``evaluate(dict) -> dict``, or a callable ``dict -> dict``. ``Evaluator`` makes one thing of them:
it knows the variables, checks inputs and returns outputs. lume-base itself takes a second to
import, so nothing here imports it: whoever has a LUMEModel has imported it already.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from hashlib import sha256
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from lume_services.errors import InvalidInputError, ModelFailedError, ModelLoadError
from lume_services.variables import checked_inputs, default_values, schema

__all__ = ["Evaluator", "entry_point_of", "load_entry_point", "source_hash"]

_UNCHANGING = frozenset({bool, int, float, complex, str, bytes, type(None)})


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

    def schema(self) -> dict[str, dict[str, Any]]:
        """The variables as JSON: name, description, unit, range and the rest, by name."""
        return {name: schema(variable) for name, variable in self.variables.items()}

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
        if not isinstance(inputs, Mapping):
            raise InvalidInputError(
                f"inputs are a dictionary of values by name, not a {type(inputs).__name__}"
            )
        if not self.variables:
            return dict(inputs)
        return checked_inputs(inputs, self.variables, self._defaults)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate at inputs that ``check`` has returned; one evaluation at a time.

        The model gets values of its own: what it does to them does not change what is recorded.
        """
        own = {
            name: value if type(value) in _UNCHANGING else deepcopy(value)
            for name, value in inputs.items()
        }
        with self._lock:
            outputs = self._evaluate(own)
        if not isinstance(outputs, Mapping):
            raise ModelFailedError(
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


def source_hash(model: Any) -> str | None:
    """The sha256 of a model's own source, that of its class or function.

    It tells whether a version is still what was registered; what else the code depends on is in
    the package list of each result. None where there is no source, as in a plain prompt.
    """
    code = model if inspect.isclass(model) or inspect.isroutine(model) else type(model)
    try:
        return sha256(inspect.getsource(code).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def load_entry_point(entry_point: str) -> Any:
    """Import what ``entry_point_of`` named.

    Raises:
        ModelLoadError: The module cannot be imported here, or has no such name.
    """
    module_name, _, name = entry_point.partition(":")
    try:
        found = _attribute(import_module(module_name), name)
    except Exception as error:  # a module may raise anything while it is imported
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
        return model  # type: ignore[no-any-return]  # likewise
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
    return model.get(outputs)  # type: ignore[no-any-return]  # lume-base is untyped here


def _defaults(model: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each input that is not given: its default, or else what the model holds now."""
    defaults = default_values(variables)
    if _is_lume_model(model):
        for name in variables.keys() - defaults.keys():
            # A simulator that has not run yet may raise anything.
            with suppress(Exception):
                if not variables[name].read_only:
                    defaults[name] = model.get_value(name)
    return defaults
