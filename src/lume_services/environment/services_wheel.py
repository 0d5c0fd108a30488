"""A wheel of the LUME-services that is running, for the environments of flows."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

import lume_services

__all__ = ["requirements_of_flows", "services_wheel", "wheel_digest"]

_NAME: Final = "lume-services"
_OF_FLOWS: Final = ("prefect", "mongodb", "mysql", "postgresql")
"""Extras of LUME-services that the environments of flows have: they record what they do."""
_FILES: Final = ("METADATA", "entry_points.txt")
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def requirements_of_flows() -> list[str]:
    """What LUME-services needs in the environment of a flow, as PEP 508 writes it."""
    return sorted({_plain(one) for one in map(Requirement, requires(_NAME) or ()) if _applies(one)})


def services_wheel(folder: Path) -> Path:
    """Write the wheel into a folder.

    It is made of the files that are imported here, whichever way they were installed, and the same
    files make the same wheel, byte for byte.
    """
    version = distribution(_NAME).version
    wheel = folder / f"{_stem()}-py3-none-any.whl"
    info = f"{_stem()}.dist-info"
    record = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:

        def write(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
            # https://packaging.python.org/en/latest/specifications/recording-installed-packages/
            digest = base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}\n")

        for name, file in _sources():
            write(name, file.read_bytes())
        for name in _FILES:
            write(f"{info}/{name}", (distribution(_NAME).read_text(name) or "").encode())
        tags = "Root-Is-Purelib: true\nTag: py3-none-any\n"
        write(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: {_NAME} {version}\n{tags}".encode())
        record.append(f"{info}/RECORD,,\n")
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD", _DATE), "".join(record))
    return wheel


@cache
def wheel_digest() -> str:
    """The sha256 of what is in the wheel, by which an installed one is found again."""
    digest = sha256()
    for name, file in _sources():
        digest.update(name.encode() + b"\0" + sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _stem() -> str:
    return f"{_NAME.replace('-', '_')}-{distribution(_NAME).version}"


def _sources() -> Iterator[tuple[str, Path]]:
    package = Path(lume_services.__file__).parent
    for file in sorted(package.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield str(file.relative_to(package.parent)), file


def _applies(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": name}) for name in ("", *_OF_FLOWS))


def _plain(requirement: Requirement) -> str:
    requirement.marker = None
    return str(requirement)
