"""Making the repository of a packaged model from the template that is shipped."""

from __future__ import annotations

import keyword
import os
import re
import sys
from collections.abc import Mapping
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from packaging.utils import canonicalize_name

from lume_services import __version__
from lume_services.errors import InvalidInputError, MissingDependencyError, PackageError

__all__ = ["QUESTIONS", "make_package"]

QUESTIONS: Final = ("description", "author", "laboratory", "facility", "beampath", "image")
"""What the template asks for, beside the name; each has a default."""

_TEMPLATE: Final = Path(__file__).with_name("template")
_LONGEST: Final = 40
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
# What a packaged model is used with, installed here or not.
_TAKEN: Final = {"lume", "lume_services", "numpy", "prefect", "pytest", "src", "tests", "yaml"}


def make_package(
    name: str,
    folder: Path | None = None,
    *,
    answers: Mapping[str, str] | None = None,
    ask: bool = False,
) -> Path:
    """Make the repository of a packaged model.

    It appears as a whole: when anything fails, nothing is written.

    Args:
        name: Of the package: lower-case letters, digits and dashes or underscores.
        folder: Where; a folder that is not there yet, or is empty. When None, one of that name in
            the current folder.
        answers: Answers to ``QUESTIONS``, by name.
        ask: Ask on the terminal for the answers that are not given, in place of taking defaults.

    Returns:
        The folder.

    Raises:
        InvalidInputError: The name, an answer or the folder will not do.
        PackageError: It could not be rendered or written.
        MissingDependencyError: Copier is not installed.
    """
    name = _checked(name)
    folder = (folder or Path(name)).absolute()
    _check_folder(folder)
    # On the disk of the folder, so that what is rendered can be moved there at once.
    beside = folder if folder.exists() else folder.parent
    try:
        with TemporaryDirectory(prefix=".lume-services-init-", dir=beside) as temporary:
            made = Path(temporary, "made")
            _render(name, made, answers or {}, ask=ask)
            if not folder.exists():
                made.rename(folder)
            else:  # it may be where somebody's shell is, and stays itself
                for child in made.iterdir():
                    child.rename(folder / child.name)
    except OSError as error:
        raise PackageError(f"{folder} cannot be written: {error}") from error
    return folder


def _checked(name: str) -> str:
    """The name of the distribution, with dashes.

    Raises:
        InvalidInputError: It is no name, or taken.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"The name {name!r} will not do: use lower-case letters, digits and dashes, "
            f"beginning with a letter, such as {_proper(name) or 'lcls-injector'!r}"
        )
    if len(name) > _LONGEST:
        raise InvalidInputError(
            f"The name {name!r} has {len(name)} characters: use at most {_LONGEST}"
        )
    import_name, distribution = name.replace("-", "_"), canonicalize_name(name)
    taken = None
    if keyword.iskeyword(import_name):
        taken = "is a word of Python's own"
    elif import_name in sys.stdlib_module_names:
        taken = "is a module of Python's standard library"
    elif import_name in _TAKEN or import_name in packages_distributions():
        taken = "is what another package here is imported by"
    elif any(canonicalize_name(str(one.name)) == distribution for one in distributions()):
        taken = "is a package that is installed here"
    if taken:
        raise InvalidInputError(
            f"The name {name!r} will not do: {import_name if '_' in name else distribution!r} "
            f"{taken}. Choose another, such as {f'{distribution}-model'!r}"
        )
    return distribution


def _proper(name: str) -> str | None:
    """A name that would do in place of one that is not written as names are."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", last).lower()
    proper = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return proper if _NAME.fullmatch(proper) and len(proper) <= _LONGEST else None


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        if next(folder.iterdir(), None) is not None:
            raise InvalidInputError(
                f"{folder} is there and not empty: name another folder by --directory"
            )
    elif os.path.lexists(folder):
        raise InvalidInputError(f"{folder} is a file: name a folder by --directory")
    elif not folder.parent.is_dir():
        raise InvalidInputError(f"There is no folder {folder.parent}: make it first")


def _render(name: str, into: Path, answers: Mapping[str, str], *, ask: bool) -> None:
    try:
        import copier
        from copier.errors import InteractiveSessionError
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"Making a package needs the package {error.name!r}: "
            "pip install 'lume-services[packages]'"
        ) from error
    data: dict[str, Any] = {
        **answers,
        "name": name,
        "lume_services_version": __version__.replace("+", "-"),
    }
    try:
        copier.run_copy(str(_TEMPLATE), into, data, defaults=not ask, quiet=True)
    except (KeyboardInterrupt, OSError):
        raise
    except InteractiveSessionError as error:
        raise InvalidInputError(
            "The answers ended early, and nothing is written: give them as options, or --defaults"
        ) from error
    except ValueError as error:
        found = re.fullmatch(r"Validation error for question '(\w+)': (.*)", str(error).strip())
        if not found:
            raise PackageError(f"{name!r} could not be rendered: {error}") from error
        option, remedy = found.groups()
        raise InvalidInputError(f"--{option} {data[option]!r}: {remedy}") from error
    except Exception as error:  # a template may fail by anything
        raise PackageError(f"{name!r} could not be rendered: {error}") from error
