"""Parameters of flows and tasks: checking, converting, calling with them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

import pydantic
from prefect.exceptions import ParameterBindError, ParameterTypeError

from lume_services.engine._prefect import call_with_parameters, get_call_parameters
from lume_services.errors import InvalidInputError

if TYPE_CHECKING:
    import prefect

__all__ = ["call", "check_parameters", "checked_parameters", "parameters_of", "validated"]

_ANY_TYPE = pydantic.ConfigDict(arbitrary_types_allowed=True)


def parameters_of(flow: prefect.Flow[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a flow by name, with ``default`` and ``annotation``."""
    return dict(inspect.signature(flow.fn).parameters)


def check_parameters(
    title: str, known: Mapping[str, inspect.Parameter], given: Iterable[str]
) -> None:
    """Refuse names that are not parameters, and parameters that are missing.

    Args:
        title: What messages call the flow.
        known: Its parameters.
        given: The names of those that have a value.

    Raises:
        InvalidInputError: With the nearest known name, or with all that are missing.
    """
    given = set(given)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    names = [name for name, p in known.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    for name in sorted(given - set(names)) if not takes_any else ():
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInputError(
            f"{title} has no parameter {name!r}.{hint} It takes: {', '.join(names) or 'none'}."
        )
    missing = [name for name in names if known[name].default is known[name].empty]
    if missing := [name for name in missing if name not in given]:
        raise InvalidInputError(f"{title} needs a value for: {', '.join(missing)}.")


def checked_parameters(flow: prefect.Flow[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of a flow by name: defaults filled in, converted if the flow wants it.

    Args:
        flow: The flow.
        given: Values by name.

    Raises:
        InvalidInputError: A parameter is unknown, missing, or does not fit its annotation.
    """
    title = f"Flow {flow.name!r}"
    check_parameters(title, parameters_of(flow), given)
    try:
        bound = get_call_parameters(flow.fn, (), dict(given))
        return validated(flow, bound) if flow.should_validate_parameters else bound
    except (ParameterBindError, ParameterTypeError) as error:
        raise InvalidInputError(f"{title}: {error}") from error


def validated(flow: prefect.Flow[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Convert parameters to the types that the flow's function is annotated with.

    It does what ``Flow.validate_parameters`` does, in microseconds.

    Prefect builds a pydantic model of the function at each call, which takes a millisecond. Here
    pydantic's validator of the function is built once. Signatures that cannot be called by keyword
    alone are left to Prefect.

    Args:
        flow: The flow.
        parameters: Every parameter by name, defaults filled in.

    Raises:
        ParameterTypeError: A value does not fit; as Prefect raises it.
    """
    validate = _validator(flow.fn)
    if validate is None:
        return flow.validate_parameters(parameters)
    try:
        return validate(**parameters)
    except pydantic.ValidationError as error:
        raise ParameterTypeError.from_validation_error(error) from None


def call(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """Call a function with every parameter by name, as its signature was bound."""
    if _takes_keywords(function):
        return function(**parameters)
    return call_with_parameters(function, parameters)


@lru_cache(maxsize=1024)
def _takes_keywords(function: Callable[..., Any]) -> bool:
    if hasattr(function, "__wrapped__"):
        return False  # the signature is that of another function
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return all(p.kind in by_keyword for p in inspect.signature(function).parameters.values())


@lru_cache(maxsize=1024)
def _validator(function: Callable[..., Any]) -> Callable[..., dict[str, Any]] | None:
    # ``self`` is taken already: it is that of pydantic's own validator.
    if not _takes_keywords(function) or "self" in inspect.signature(function).parameters:
        return None

    @wraps(function)
    def collect(**parameters: Any) -> dict[str, Any]:
        return parameters

    try:
        return pydantic.validate_call(config=_ANY_TYPE)(collect)
    except (NameError, pydantic.errors.PydanticUserError):
        return None  # an annotation that pydantic cannot resolve here
