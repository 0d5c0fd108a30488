"""What ``environment.yml`` of a package asks of conda and of pip."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from lume_services.environment._metadata import needed
from lume_services.environment._unpacked import Unpacked

__all__ = ["CondaNeeds", "read_environment"]

_FILE: Final = "environment.yml"
# A channel perhaps, the name, and perhaps a version; it becomes an argument of a command.
_SPEC: Final = re.compile(r"(?:[A-Za-z0-9][\w./:-]*::)?([A-Za-z0-9_][\w.-]*)([ =<>!~\[].*)?")
_CHANNEL: Final = re.compile(r"[A-Za-z0-9/.]\S*")
_GIVEN: Final = ("pip", "python")
# The package itself, as developers have it; it is installed anyway.
_ITSELF: Final = re.compile(r"(?:-e\s+)?\.(?:\[.*\])?")
# Deep or long documents take the parser minutes.
_MAX_EVENTS: Final = 10_000
_MAX_DEPTH: Final = 10


@dataclass(frozen=True)
class CondaNeeds:
    """What a package needs beside its requirements."""

    conda: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


def read_environment(package: Unpacked) -> CondaNeeds:
    """Read the file at the top of an sdist; a wheel has none."""
    path = package.root / _FILE
    text = None if package.is_wheel else package.text(path)
    if text is None:
        return CondaNeeds()
    try:
        document = _parsed(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        package.problems.append(f"{_FILE} is malformed ({reason}): put it right.")
        return CondaNeeds()
    if not isinstance(document, dict):
        package.problems.append(f"{_FILE} is malformed: write a list 'dependencies'.")
        return CondaNeeds()
    conda, pip = [], []
    for item in _list(package, document, "dependencies"):
        match = _SPEC.fullmatch(item) if isinstance(item, str) else None
        if match:
            conda += [item] if match[1].lower() not in _GIVEN else []
        elif isinstance(item, dict) and set(item) == {"pip"}:
            needs = map(str, _list(package, item, "pip"))
            pip += [need for need in needs if not _ITSELF.fullmatch(need)]
        else:
            package.problems.append(
                f"{_FILE} is malformed: the dependency {item!r} is not 'name', 'name=1.0' or a "
                "list 'pip'."
            )
    channels = _list(package, document, "channels")
    for channel in channels:
        if not (isinstance(channel, str) and _CHANNEL.fullmatch(channel)):
            package.problems.append(
                f"{_FILE} is malformed: the channel {channel!r} is not a name or a URL."
            )
    return CondaNeeds(
        conda=tuple(conda),
        channels=tuple(channel for channel in channels if isinstance(channel, str)),
        pip=needed(package, pip, f"The pip dependency of {_FILE}"),
    )


def _parsed(text: str) -> Any:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        # Aliases are how a few lines become gigabytes, and no environment needs them.
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has an alias, *name")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or number > _MAX_EVENTS:
            raise ValueError("it is too deep or too long")
    return yaml.safe_load(text)


def _list(package: Unpacked, document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name) or []
    if isinstance(value, list):
        return value
    package.problems.append(f"{_FILE} is malformed: {name!r} is not a list; write '- name' lines.")
    return []
