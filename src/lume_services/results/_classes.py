"""Result classes by name, as documents hold it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

from lume_services import plugins
from lume_services.errors import AmbiguousError, SerializationError

__all__ = ["class_named", "stored_class", "type_string"]

_Class = TypeVar("_Class")
_PUBLIC = "lume_services.results"


def type_string(kind: type) -> str:
    """The name of a class, ``module:Class``."""
    return f"{_public(kind.__module__)}:{kind.__qualname__}"


def stored_class(name: Any, base: type[_Class]) -> type[_Class]:
    """The class that a stored document names.

    Whoever can write a document does not decide what this process imports: it is a class that is
    known here already, or one of a package that announces its classes.

    Args:
        name: ``module:Class``, or the bare name of a class that this process knows.
        base: What it has to be a subclass of.

    Raises:
        SerializationError: No such class is known here.
        AmbiguousError: The bare name is that of several classes.
    """
    found = _known(name, base)
    if found is None:
        plugins.load_announced(plugins.RESULT_TYPES, name if ":" in name else _PUBLIC)
        found = _known(name, base)
    if found is None:
        raise SerializationError(
            f"The result class {name!r:.200} is not known here. A stored result does not make this "
            "process import anything: import the module that defines the class first, or have its "
            f"package announce it by an entry point of group {plugins.RESULT_TYPES!r}."
        )
    return found


def class_named(name: Any, base: type[_Class]) -> type[_Class]:
    """The class that the user's own code names, imported if need be.

    Args:
        name: ``module:Class``, or the bare name of a class that this process knows.
        base: What it has to be a subclass of.

    Raises:
        SerializationError: There is no such class, or it is not a subclass of ``base``.
        AmbiguousError: The bare name is that of several classes.
    """
    known = _known(name, base)
    if known is not None:
        return known
    module, _, qualified = name.rpartition(":")
    try:
        found: Any = import_module(module or _PUBLIC)
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


def _known(name: Any, base: type[_Class]) -> type[_Class] | None:
    """The class of that name, if this process has defined one."""
    if not isinstance(name, str) or not name:
        raise SerializationError(f"{name!r:.200} is not the name of a result class.")
    known = {type_string(kind): kind for kind in _family(base)}
    module, _, qualified = name.rpartition(":")
    if module:
        return known.get(f"{_public(module)}:{qualified}")
    named = {full: kind for full, kind in known.items() if kind.__name__ == name}
    if len(named) > 1:
        raise AmbiguousError(f"{name!r} is one of {', '.join(sorted(named))}: give it in full.")
    return next(iter(named.values()), None)


def _public(module: str) -> str:
    # Those of this package go by their public path, so that results outlive its inner layout.
    return _PUBLIC if module.startswith(f"{_PUBLIC}.") else module


def _family(kind: type[_Class]) -> list[type[_Class]]:
    """A class and those below it, the latest definition last."""
    return [kind, *(found for below in kind.__subclasses__() for found in _family(below))]
