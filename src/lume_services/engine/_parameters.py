"""Parameters of flows and tasks: what Prefect does with them, in microseconds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

import pydantic
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import call_with_parameters

if TYPE_CHECKING:
    import prefect

__all__ = ["call", "validated"]

_ANY_TYPE = pydantic.ConfigDict(arbitrary_types_allowed=True)


def validated(flow: prefect.Flow[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Convert parameters to the types that the flow's function is annotated with.

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
    # `self` is taken already: it is that of pydantic's own validator.
    if not _takes_keywords(function) or "self" in inspect.signature(function).parameters:
        return None

    @wraps(function)
    def collect(**parameters: Any) -> dict[str, Any]:
        return parameters

    try:
        return pydantic.validate_call(config=_ANY_TYPE)(collect)
    except (NameError, pydantic.errors.PydanticUserError):
        return None  # an annotation that pydantic cannot resolve here
