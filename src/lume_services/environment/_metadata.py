"""What the metadata of a package say: its name, version, needs and entry points."""

from __future__ import annotations

import tomllib
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from lume_services.environment._unpacked import Unpacked

__all__ = ["GROUP", "Metadata", "needed", "read_entry_points", "read_metadata"]

GROUP: Final = "orchestration"
"""The group of entry points by which a package announces its model and flow."""


@dataclass(frozen=True)
class Metadata:
    """What PKG-INFO or METADATA says; empty where it is wrong."""

    name: str = ""
    version: str = ""
    requirements: tuple[str, ...] = ()
    requires_python: str | None = None


def read_metadata(package: Unpacked, filename: str) -> Metadata:
    """Read name, version and needs, and compare them with the name of the archive."""
    raw = _raw(package)
    if raw is None:
        what = "METADATA in its one .dist-info folder" if package.is_wheel else "PKG-INFO"
        package.problems.append(
            f"It has no metadata ({what}); an archive of a repository, as GitHub makes them of a "
            "tag, is no sdist. Make one with `python -m build`."
        )
        return Metadata()
    name, version = raw.get("name", ""), raw.get("version", "")
    try:
        canonicalize_name(name, validate=True)
    except InvalidName:
        package.problems.append(
            f"The name {name!r} is not one that a package may have: use "
            "letters, digits, '-', '_' and '.'."
        )
        name = ""
    try:
        version = str(Version(version))
    except InvalidVersion:
        package.problems.append(
            f"The version {version!r} is not PEP 440: write 1.2.0, 1.2.0rc1 or 1.2.0.dev3."
        )
        version = ""
    if name and version:
        _compare(package, filename, name, version)
    return Metadata(
        name=name,
        version=version,
        requirements=needed(package, _requirements(package, raw), "The requirement"),
        requires_python=_requires_python(package, raw),
    )


def needed(package: Unpacked, requirements: list[str], what: str) -> tuple[str, ...]:
    """Those of the requirements that apply without an extra, checked and normalised."""
    found: dict[str, None] = {}
    for text in requirements:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            package.problems.append(
                f"{what} {text!r} is not PEP 508: write 'name>=1.0', or 'name @ "
                "git+https://host/repository@tag' for one that is not on a package index."
            )
            continue
        if (
            one.marker is None
            or "extra" not in str(one.marker)
            or one.marker.evaluate({"extra": ""})
        ):
            found[str(one)] = None
    return tuple(found)


def read_entry_points(package: Unpacked) -> dict[str, str]:
    """The entry points of the group, from the first file that has any."""
    if package.is_wheel:
        return _from_sections(package)
    return _from_pyproject(package) or _from_setup_cfg(package) or _from_sections(package)


def _raw(package: Unpacked) -> RawMetadata | None:
    info = _info(package)
    if package.is_wheel:
        paths = [info / "METADATA"] if info else []
    else:
        paths = [package.root / "PKG-INFO", *([info / "PKG-INFO"] if info else [])]
    text = next(filter(None, map(package.text, paths)), None)
    try:
        return None if text is None else parse_email(text)[0]
    # It is parsed as a mail, and mails may be inside mails inside mails.
    except (RecursionError, ValueError):
        return None


def _info(package: Unpacked) -> Path | None:
    """The folder that metadata are in; a wheel has exactly one."""
    if package.is_wheel:
        folders = list(package.root.glob("*.dist-info"))
        return folders[0] if len(folders) == 1 else None
    found = (folder for root in package.roots for folder in sorted(root.glob("*.egg-info")))
    return next(found, None)


def _compare(package: Unpacked, filename: str, name: str, version: str) -> None:
    try:
        if package.is_wheel:
            said = parse_wheel_filename(filename)[:2]
        else:
            said = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename):
        package.problems.append(
            f"The file name {filename!r} is not <name>-<version>…: give it back the name that it "
            "was built with."
        )
        return
    if said != (canonicalize_name(name), Version(version)):
        package.problems.append(
            f"The file name {filename!r} says {said[0]} {said[1]}, and the metadata say {name} "
            f"{version}: give it back the name that it was built with."
        )


def _requirements(package: Unpacked, raw: RawMetadata) -> list[str]:
    if "requires_dist" in raw:
        return raw["requires_dist"]
    # Sdists of older setuptools have them in this file only, by extra and marker.
    info = _info(package)
    text = (package.text(info / "requires.txt") if info else None) or ""
    found = []
    extra = marker = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            extra, _, marker = line.strip("[]").partition(":")
        elif not extra:
            found.append(f"{line} ; {marker}" if marker else line)
    return found


def _requires_python(package: Unpacked, raw: RawMetadata) -> str | None:
    text = raw.get("requires_python")
    try:
        return None if text is None else str(SpecifierSet(text)) or None
    except InvalidSpecifier:
        package.problems.append(
            f"Requires-Python {text!r} is not a set of versions: write '>=3.11'."
        )
        return None


def _from_pyproject(package: Unpacked) -> dict[str, str]:
    text = package.text(package.root / "pyproject.toml")
    try:
        found = tomllib.loads(text or "")
        group = found.get("project", {}).get("entry-points", {}).get(GROUP, {})
        return {name: str(value) for name, value in group.items()}
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError) as error:
        package.problems.append(f"pyproject.toml is malformed ({error}): put it right.")
        return {}


def _from_setup_cfg(package: Unpacked) -> dict[str, str]:
    sections = _sections(package, package.root / "setup.cfg")
    lines = sections.get("options.entry_points", {}).get(GROUP, "").splitlines()
    pairs = (line.partition("=") for line in lines if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _from_sections(package: Unpacked) -> dict[str, str]:
    info = _info(package)
    return _sections(package, info / "entry_points.txt").get(GROUP, {}) if info else {}


def _sections(package: Unpacked, path: Path) -> dict[str, dict[str, str]]:
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
    try:
        parser.read_string(package.text(path) or "")
    except ConfigParserError as error:
        reason = " ".join(str(error).split())
        package.problems.append(f"{path.name} is malformed ({reason}): put it right.")
    return {name: dict(parser[name]) for name in parser.sections()}
