"""Result classes by name, as documents hold it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

from lume_services.errors import AmbiguousError, SerializationError

__all__ = ["class_named", "type_string"]

_Class = TypeVar("_Class")


def type_string(kind: type) -> str:
    """The name of a class, ``module:Class``."""
    # Those of this package go by their public path, so that results outlive its inner layout.
    module, _, _ = kind.__module__.partition(".results.")
    public = "lume_services.results" if module == "lume_services" else kind.__module__
    return f"{public}:{kind.__qualname__}"


def class_named(name: Any, base: type[_Class]) -> type[_Class]:
    """The class of that name, imported if need be.

    Args:
        name: ``module:Class``, or the bare name of a class that this process knows.
        base: What it has to be a subclass of.

    Raises:
        SerializationError: There is no such class, or it is not a subclass of ``base``.
        AmbiguousError: The bare name is that of several classes.
    """
    if not isinstance(name, str) or not name:
        raise SerializationError(f"{name!r:.200} is not the name of a result class.")
    known = {type_string(kind): kind for kind in _family(base)}
    if name in known:
        return known[name]
    module, _, qualified = name.rpartition(":")
    if not module:
        named = {full: kind for full, kind in known.items() if kind.__name__ == name}
        if len(named) > 1:
            raise AmbiguousError(f"{name!r} is one of {', '.join(sorted(named))}: give it in full.")
        if named:
            return next(iter(named.values()))
    try:
        found: Any = import_module(module or "lume_services.results")
        for part in qualified.split("."):
            found = getattr(found, part)
    except Exception as error:  # A module may raise anything while it is imported.
        raise SerializationError(
            f"The result class {name!r:.200} is not known here ({type(error).__name__}: {error}). "
            "Install or import what defines it; what a notebook or script defines is known to "
            "that process only."
        ) from error
    if not isinstance(found, type) or not issubclass(found, base):
        raise SerializationError(f"{name!r:.200} is not a subclass of {base.__name__}.")
    return found


def _family(kind: type[_Class]) -> list[type[_Class]]:
    """A class and those below it, the latest definition last."""
    return [kind, *(found for below in kind.__subclasses__() for found in _family(below))]
