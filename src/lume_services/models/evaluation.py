"""One way to evaluate whatever a laboratory calls a model.

A model is a ``lume.model.LUMEModel`` (its class or an instance), an object with
``evaluate(dict) -> dict``, or a callable ``dict -> dict``. ``Evaluator`` makes one thing of them:
it knows the variables, checks inputs and returns outputs. lume-base itself takes a second to
import, so nothing here imports it: whoever has a LUMEModel has imported it already.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from lume_services.environment.lume_inside.kinds import (
    evaluation_of,
    held_values,
    made,
    schema,
    variables_of,
)
from lume_services.errors import InvalidInputError, ModelFailedError, ModelLoadError
from lume_services.results import Provenance, describe_error
from lume_services.variables import checked_inputs, default_values

__all__ = ["Evaluator", "Outcome", "entry_point_of", "load_entry_point", "source_hash"]

_UNCHANGING = frozenset({bool, int, float, complex, str, bytes, type(None)})


@dataclass(frozen=True)
class Outcome:
    """What came of one evaluation."""

    started: datetime
    """UTC."""
    duration_s: float
    outputs: Mapping[str, Any]
    error: dict[str, str] | None = None
    """``type``, ``message`` and ``traceback`` when it failed."""
    exception: BaseException | None = None
    """What was raised, in the process that raised it only."""

    def failed(self, error: BaseException) -> Outcome:
        """The same evaluation, but failed."""
        return replace(self, outputs={}, error=describe_error(error), exception=error)


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
        self.model = _made(model)
        self.variables = variables_of(self.model)
        try:
            self._evaluate = evaluation_of(self.model, self.variables)
        except TypeError as error:
            raise ModelLoadError(str(error)) from None
        defaults = default_values(self.variables)
        self._defaults = {**held_values(self.model, self.variables), **defaults}
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

    def outcome(self, inputs: Mapping[str, Any]) -> Outcome:
        """Evaluate at inputs that ``check`` has returned; an exception is part of the outcome."""
        started = datetime.now(UTC)
        clock = time.perf_counter()
        try:
            outputs = self(inputs)
        except (Exception, SystemExit) as error:  # whatever the model raises is recorded
            return Outcome(started, time.perf_counter() - clock, {}).failed(error)
        return Outcome(started, time.perf_counter() - clock, outputs)

    def provenance(self, outcome: Outcome) -> Provenance:
        """Where and when an outcome came about, and with what."""
        return Provenance.collect(outcome.started, outcome.duration_s)

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


def _made(model: Any) -> Any:
    try:
        return made(model)
    except TypeError as error:
        raise ModelLoadError(
            f"{model.__qualname__} cannot be made without arguments ({error}); "
            "register an instance, or a subclass that needs none"
        ) from error
