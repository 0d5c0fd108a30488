"""Environment variables and nested settings: one rule between the two, in both directions."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError

from lume_services.errors import ConfigurationError
from lume_services.services.settings import NOT_TO_BE_SHOWN

__all__ = [
    "DELIMITER",
    "ENV_FILE",
    "PREFIX",
    "SECRETS_DIR",
    "EnvironmentVariable",
    "describe_errors",
    "export_prefect_secrets",
    "given",
    "nearest",
    "read",
    "to_text",
    "values_of",
    "variables_of",
]

PREFIX = "LUME_"
DELIMITER = "__"
ENV_FILE = "LUME_ENV_FILE"
SECRETS_DIR = "LUME_SECRETS_DIR"


@dataclass(frozen=True)
class EnvironmentVariable:
    """One variable that LUME-services reads."""

    name: str
    """Its name; what stands in ``<…>`` is a name that the user chooses."""
    type: str
    """What it takes: ``str``, ``int``, ``bool``, ``path``, or the allowed words."""
    default: str
    """Its value when it is not set; empty where there is none."""
    meaning: str
    """What it is for."""
    secret: bool = False
    """Whether its value is kept out of messages and logs."""


def export_prefect_secrets() -> None:
    """Put what lets one into Prefect's server from secret files into this process's environment.

    Prefect takes its settings from variables only, when it is imported. As files of
    ``LUME_SECRETS_DIR`` no process list, container or manifest shows them.
    """
    folder = os.environ.get(SECRETS_DIR)
    for file in Path(folder).glob("PREFECT_*") if folder else ():
        os.environ.setdefault(file.name, file.read_text(encoding="utf-8"))


def variables_of(settings: type[BaseModel], prefix: str = PREFIX) -> list[EnvironmentVariable]:
    """Every variable from which an object of this class is made."""
    variables = []
    for field_name, field in settings.model_fields.items():
        name = prefix + field_name.upper()
        kind = _without_none(field.annotation)
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
            # On the top level is LUME_JOB__<variable>; a part of a part has options.
            texts = "variable" if prefix == PREFIX else "option"
            chosen = "identifier" if _is_model(kind) else texts
            name += f"{DELIMITER}<{chosen}>"
        if _is_model(kind):
            variables += variables_of(kind, name + DELIMITER)
            continue
        default = "" if field.is_required() or field.default_factory else field.default
        variables.append(
            EnvironmentVariable(
                name=name,
                type=_type_name(kind),
                default="" if default is None else to_text(default),
                meaning=field.description or "",
                secret=kind is SecretStr,
            )
        )
    return variables


def read(settings: type[BaseModel]) -> tuple[dict[str, Any], list[str]]:
    """Read the environment, the env file and the secret files.

    Returns:
        The values as nested dictionaries of text, and the names of variables that start with
        ``LUME_`` and that nothing reads.

    Raises:
        ConfigurationError: The env file or the folder of secrets cannot be read.
    """
    texts = given()
    patterns = [_pattern(variable.name) for variable in variables_of(settings)]
    values: dict[str, Any] = {}
    unknown = []
    for name, text in texts.items():
        match = next((match for pattern in patterns if (match := pattern.fullmatch(name))), None)
        if match is None:
            unknown.append(name)
        elif text != "":
            *folders, leaf = _path(match)
            inner = values
            for folder in folders:
                inner = inner.setdefault(folder, {})
            inner[leaf] = text
    return values, unknown


def given() -> dict[str, str]:
    """The variables of the environment, the env file and the secret files, by name in capitals.

    Raises:
        ConfigurationError: The env file or the folder of secrets cannot be read.
    """
    texts: dict[str, str] = {}
    for source in (_secret_files(), _env_file(), _ours(os.environ)):
        # Empty is as good as not set: it does not hide the value of another source.
        texts |= {name: text for name, text in source.items() if text or name not in texts}
    return texts


def values_of(settings: BaseModel, prefix: str = PREFIX) -> Iterator[tuple[str, Any]]:
    """Every variable that has a value in these settings, with the value as it is.

    A part that is as it would be without any variable is left out.
    """
    for field_name, field in type(settings).model_fields.items():
        value = getattr(settings, field_name)
        if not isinstance(value, BaseModel) or value != field.get_default(
            call_default_factory=True
        ):
            yield from _named_values(prefix + field_name.upper(), value)


def describe_errors(error: ValidationError, settings: type[BaseModel]) -> str:
    """Say what is wrong, a line for each variable, with no secret in it."""
    shown = {variable.name for variable in variables_of(settings) if not variable.secret}
    lines = []
    for problem in error.errors(include_url=False):
        name = PREFIX + DELIMITER.join(str(part) for part in problem["loc"]).upper()
        message = problem["msg"].removeprefix("Value error, ")
        message = re.sub(r"`([A-Z_]+)`", rf"{name}{DELIMITER}\1", message)
        if problem["type"] == "missing":
            lines.append(f"{name} is missing")
        elif problem["type"] == "extra_forbidden":
            lines.append(f"{name} is not a setting{nearest(name, settings)}")
        elif (
            any(_pattern(known).fullmatch(name) for known in shown)
            and not name.endswith("URL")
            and problem["type"] != NOT_TO_BE_SHOWN
        ):
            lines.append(f"{name}={to_text(problem['input'])!r}: {message}")
        else:
            lines.append(f"{name}: {message}")
    return "\n".join(lines)


def nearest(name: str, settings: type[BaseModel]) -> str:
    """A sentence with the known variable that a name is probably meant to be, or nothing."""
    known = [variable.name for variable in variables_of(settings)]
    found = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
    return f". Did you mean {found[0]}?" if found else ""


def _named_values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        yield from values_of(value, name + DELIMITER)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _named_values(f"{name}{DELIMITER}{key.upper()}", inner)
    elif value is not None:
        yield name, value


def _ours(texts: Mapping[str, str | None]) -> dict[str, str]:
    """The variables with our prefix, by name in capitals, except those of the tests."""
    special = (ENV_FILE, SECRETS_DIR, f"{PREFIX}TEST_")
    named = ((name.upper(), text) for name, text in sorted(texts.items(), reverse=True))
    return {
        name: text or ""
        for name, text in named
        if name.startswith(PREFIX) and not name.startswith(special)
    }


def _special(name: str) -> str | None:
    """A variable that says where others are; like them, in small or capital letters."""
    return os.environ.get(name) or next(
        (text for given, text in os.environ.items() if given.upper() == name and text), None
    )


def _env_file() -> dict[str, str]:
    name = _special(ENV_FILE)
    if not name:
        return {}
    path = Path(name).expanduser()
    try:
        with path.open(encoding="utf-8") as stream:
            return _ours(dotenv_values(stream=stream))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(f"{ENV_FILE}={name!r} cannot be read: {reason}") from None


def _secret_files() -> dict[str, str]:
    given = _special(SECRETS_DIR)
    folder = Path(given or "/run/secrets").expanduser()
    if not folder.is_dir():
        if given:
            raise ConfigurationError(f"{SECRETS_DIR}={given!r} is not a folder")
        return {}
    try:
        return _ours(
            {
                file.name: file.read_text(encoding="utf-8").rstrip("\r\n")
                for file in folder.iterdir()
                if file.name.upper().startswith(PREFIX) and file.is_file()
            }
        )
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(
            f"A secret file in {SECRETS_DIR}={str(folder)!r} cannot be read: {reason}"
        ) from None


def _pattern(name: str) -> re.Pattern[str]:
    # An identifier or option is one part of the name; a variable of the jobs may be several.
    name = re.sub("<identifier>|<option>", r"(?:(?!__).)+", name)
    return re.compile(name.replace("<variable>", "(?P<variable>.+)"))


def _path(match: re.Match[str]) -> list[str]:
    """Where a variable's value belongs: ``LUME_MODEL_DB__PORT`` is at model_db, port."""
    chosen = match.groupdict()
    if "variable" in chosen:
        return ["job", chosen["variable"]]
    return [part.lower() for part in match[0].removeprefix(PREFIX).split(DELIMITER)]


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (kind for kind in get_args(annotation) if kind is not NoneType)
    return annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    kind = getattr(kind, "__origin__", kind)
    return {SecretStr: "secret", Path: "path"}.get(kind) or str(kind.__name__)


def to_text(value: Any) -> str:
    """A value as a variable holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
