"""Reading what is in a package, and all that stands against it, without running any of it."""

from __future__ import annotations

import hashlib
import keyword
import tempfile
from pathlib import Path
from typing import Final

from lume_services.environment._code import is_prefect1, read_image
from lume_services.environment._conda import read_environment
from lume_services.environment._metadata import GROUP, read_entry_points, read_metadata
from lume_services.environment._unpacked import Unpacked
from lume_services.environment.archive import WHEEL, unpack
from lume_services.environment.package import Package
from lume_services.errors import ConfigurationError, PackageError

__all__ = ["examine", "inspect_package"]

_HOW_TO_ANNOUNCE: Final = (
    f"write into pyproject.toml [project.entry-points.{GROUP}] "
    '"my_model.model" = "my_model.model:MyModel", with your package\'s names'
)


def inspect_package(archive: Path, *, tmp: Path | None = None) -> Package:
    """Read what is in an sdist or wheel.

    Args:
        archive: The file.
        tmp: Where it is unpacked for a moment; the system's folder for that when None.

    Raises:
        PackageError: It is broken, hostile or incomplete; the message says what to do.
        ConfigurationError: There is no folder to unpack it in.
    """
    package, problems = examine(archive, tmp=tmp)
    if problems:
        raise PackageError(f"{archive.name!r} is refused: {problems[0]}")
    return package


def examine(archive: Path, *, tmp: Path | None = None) -> tuple[Package, list[str]]:
    """Read what can be read of a package, and all that stands against it.

    Returns:
        The package, its texts empty where they are wrong, and the problems, each in one line.

    Raises:
        PackageError: It cannot be unpacked.
        ConfigurationError: There is no folder to unpack it in.
    """
    try:
        folder = tempfile.TemporaryDirectory(dir=tmp)
    except OSError as error:
        raise ConfigurationError(
            f"Nothing can be unpacked in {str(tmp or tempfile.gettempdir())!r} ({error.strerror}). "
            "Set LUME_ENVIRONMENT__TMP_DIRECTORY to a folder that may be written to."
        ) from error
    with folder as name:
        unpacked = Unpacked(unpack(archive, Path(name)), archive.name.endswith(WHEEL))
        return _read(archive, unpacked), unpacked.problems


def _read(archive: Path, unpacked: Unpacked) -> Package:
    metadata = read_metadata(unpacked, archive.name)
    environment = read_environment(unpacked)
    announced = read_entry_points(unpacked)
    import_name = _import_name(unpacked, announced)
    model, flow = (
        _entry_point(unpacked, f"{import_name}.{what}", announced) if import_name else None
        for what in ("model", "flow")
    )
    is_old = flow is not None and is_prefect1(unpacked, flow)
    if is_old and f"{import_name}.model" not in announced:
        unpacked.problems.append(
            f"It announces no model, only the flow {flow!r}, which is written for Prefect 1. Write "
            "it for Prefect 3 (docs/migrating.md#flows), or announce the model: "
            f"{_HOW_TO_ANNOUNCE}."
        )
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Package(
        filename=archive.name,
        sha256=sha256,
        size=archive.stat().st_size,
        name=metadata.name,
        version=metadata.version,
        import_name=import_name,
        model=model,
        flow=None if is_old else flow,
        requirements=tuple(dict.fromkeys([*metadata.requirements, *environment.pip])),
        requires_python=metadata.requires_python,
        conda=environment.conda,
        channels=environment.channels,
        image=read_image(unpacked, import_name, metadata.version) if import_name else None,
        prefect1_flow=is_old,
    )


def _import_name(unpacked: Unpacked, announced: dict[str, str]) -> str:
    """What stands before ``.model`` and ``.flow`` in the names of the entry points."""
    split = (name.rpartition(".") for name in announced)
    names = sorted({before for before, _, last in split if last in ("model", "flow")})
    if not names:
        unpacked.problems.append(f"It announces no model: {_HOW_TO_ANNOUNCE}.")
    elif len(names) > 1:
        unpacked.problems.append(
            f"It announces models of several packages, {', '.join(names)}: make a package of each."
        )
    elif _is_dotted(names[0]):
        return names[0]
    else:
        unpacked.problems.append(
            f"The entry point {f'{names[0]}.model'!r} is not named by a package that could be "
            f"imported: {_HOW_TO_ANNOUNCE}."
        )
    return ""


def _entry_point(unpacked: Unpacked, name: str, announced: dict[str, str]) -> str | None:
    if name not in announced:
        return None
    value = announced[name]
    module, _, attribute = (part.strip() for part in value.partition(":"))
    if not (_is_dotted(module) and _is_dotted(attribute)):
        unpacked.problems.append(
            f"The entry point {name} = {value!r} is malformed: write 'module:name', such as "
            f"'{name}:{'MyModel' if name.endswith('.model') else 'run'}'."
        )
        return None
    if unpacked.module(module) is None:
        unpacked.problems.append(
            f"The entry point {name} = {value!r} names a module that is not in the package: "
            f"correct the name, or have {module.replace('.', '/')}.py put into it."
        )
        return None
    return f"{module}:{attribute}"


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))
