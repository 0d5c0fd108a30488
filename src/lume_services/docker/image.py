"""Building the image of jobs: this package, its drivers, and the packages of one's own models.

The image gets the Python and the versions of packages that are installed where it is built, so that
a flow computes in a container what it computes here, and building it again gives the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from importlib.metadata import distribution, distributions, requires
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse
from urllib.request import url2pathname

from packaging.requirements import Requirement

from lume_services import __version__
from lume_services.errors import ImageBuildError, MissingDependencyError

if TYPE_CHECKING:
    from lume_services.settings import LUMEServicesSettings

__all__ = ["DEFAULT_IMAGE", "build_image", "image_of_jobs"]

DEFAULT_IMAGE: Final = f"lume-services:{__version__.replace('+', '-')}"
"""The image that is built, and that jobs run in, when none is named."""
_BASE: Final = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
_NAME: Final = "lume-services"
_EXTRAS: Final = ("kubernetes", "prefect", "mongodb", "mysql", "postgresql", "s3", "sftp")
_IN_IMAGE: Final = "/opt/packages"


def build_image(
    tag: str = DEFAULT_IMAGE,
    *,
    base: str | None = None,
    source: str | Path | None = None,
    packages: Sequence[str] = (),
    network: str | None = None,
    tell: Callable[[str], object] = print,
) -> None:
    """Build the image of jobs.

    Args:
        tag: Its name.
        base: Image to build on, with Python and its venv; Docker's own of this Python when None.
        source: Folder or wheel of LUME-services; what was installed here when None, and the package
            index's release of the same version where that is no more.
        packages: What else to install, as a rule the package with the models: requirements as pip
            takes them, folders of sources, or wheels.
        network: Network of the build, as ``docker build --network`` takes it.
        tell: Is given each line of what Docker says.

    Raises:
        ImageBuildError: Docker does not answer, or a step failed.
        MissingDependencyError: Docker's library for Python is not installed.
    """
    docker = _library()
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise ImageBuildError(
            f"Docker does not answer: {error}. See that it is installed and runs (`docker info`), "
            "that you may use it, and DOCKER_HOST."
        ) from error
    with closing(client), tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder), source or _installed_from(), packages)
        try:
            said = client.api.build(
                path=folder,
                tag=tag,
                buildargs={"BASE": base or _BASE},
                network_mode=network,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for line in said:
                if "error" in line:
                    raise docker.errors.DockerException(line["error"])
                if text := line.get("stream", "").rstrip():
                    tell(text)
        except docker.errors.DockerException as error:
            raise ImageBuildError(f"The image {tag!r} could not be built: {error}") from error


def image_of_jobs(settings: LUMEServicesSettings) -> str:
    """The image that jobs run in that name none."""
    named = settings.prefect.default_image if settings.prefect else None
    return named or DEFAULT_IMAGE


def _library() -> Any:
    try:
        import docker
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "Building an image needs the package 'docker': pip install 'lume-services[docker]'"
        ) from error
    return docker


def _prepare(context: Path, source: str | Path | None, packages: Sequence[str]) -> None:
    """Write all that the Dockerfile copies."""
    for name in ("Dockerfile", "entrypoint.sh"):
        with as_file(files("lume_services.docker") / "files" / name) as file:
            shutil.copy(file, context)
    wheels = context / "packages"
    wheels.mkdir()
    ours = f"{_NAME}[{','.join(_EXTRAS)}]"
    ours += f"=={__version__}" if source is None else f" @ {_wheel(source, wheels)}"
    others = [_wheel(one, wheels) if Path(one).exists() else one for one in packages]
    _write(wheels / "requirements.txt", [ours, *others])
    needed = map(Requirement, requires(_NAME) or ())
    _write(context / "dependencies.txt", (_plain(one) for one in needed if _applies(one)))
    _write(
        context / "constraints.txt",
        # Without the local part, +cpu for example, which the package index has not.
        (
            f"{one.name}=={one.version.partition('+')[0]}"
            for one in distributions()
            if one.read_text("direct_url.json") is None
        ),
    )


def _applies(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": name}) for name in _EXTRAS)


def _plain(requirement: Requirement) -> str:
    requirement.marker = None
    return str(requirement)


def _wheel(source: str | Path, into: Path) -> str:
    """Make a wheel; where it will be in the image, as requirements have it."""
    before = set(into.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", into, source],
        capture_output=True,
        text=True,
        check=False,
    )
    made = set(into.iterdir()) - before
    if done.returncode or not made:
        raise ImageBuildError(f"No wheel could be made of {str(source)!r}: {done.stderr.strip()}")
    return f"file://{_IN_IMAGE}/{made.pop().name}"


def _installed_from() -> str | None:
    """The folder or wheel that this package was installed from, where that is still there."""
    told = distribution(_NAME).read_text("direct_url.json")
    url = urlparse(json.loads(told)["url"] if told else "")
    path = url2pathname(url.path)
    return path if url.scheme == "file" and Path(path).exists() else None


def _write(file: Path, lines: Iterable[str]) -> None:
    # Sorted, so that Docker finds the same file, and its layer, again.
    file.write_text("".join(f"{line}\n" for line in sorted(set(lines))), encoding="utf-8")
