"""A whole stack on one machine: databases, Prefect and a worker, by the packaged compose file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lume_services.docker import _settings
from lume_services.docker._compose import Compose, ServiceStatus, check_docker, docker, volumes
from lume_services.docker._folder import StackFolder
from lume_services.docker._starting import check_images, start_all
from lume_services.docker.files import DOCKER_COMPOSE
from lume_services.errors import ConfigurationError, StackError
from lume_services.services.files.filesystems import MountedFilesystem

__all__ = ["PROJECT", "Stack"]

PROJECT: Final = "lume-services"
"""The name of a stack when none is given."""
_GROUPS: Final = (
    "LUME_BACKEND",
    "LUME_MODEL_DB__",
    "LUME_RESULTS_DB__",
    "LUME_PREFECT__SERVER__",
    _settings.MOUNT,
)


class Stack:
    """The services of the packaged compose file, as one project of Docker Compose.

    Ports, image, tag of Prefect's image and the shared folder are taken from the ``LUME_*``
    variables of that name, then from the last start.

    Args:
        project: Name of the project; stacks of other names are others.

    Attributes:
        folder: What it keeps under ``LUME_HOME``.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(self, project: str = PROJECT) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", project):
            raise ConfigurationError(
                f"{project!r} is no name of a project: use small letters, digits, '-' and '_'."
            )
        self.project = project
        self.folder = StackFolder(_settings.home() / "docker" / project)

    @property
    def pages(self) -> str:
        """The address of Prefect's pages."""
        port = _settings.of_compose(self.folder)[_settings.PREFECT_PORT]
        return f"http://{_settings.HOST}:{port}"

    def start(
        self,
        *,
        persist: bool = False,
        files: Sequence[str | Path] = (),
        timeout_s: float = 300,
        tell: Callable[[str], object] = print,
    ) -> None:
        """Start what does not run yet, wait until all is healthy, and make the registry's tables.

        Args:
            persist: Keep what is stored when the stack is stopped. It holds from then on.
            files: Further compose files, which change or add to the packaged one; those of the
                last start when none are given. Relative paths in them start at the folder of the
                first.
            timeout_s: Seconds in which the containers have to be healthy; fetching images is not
                counted.
            tell: Is given a line for each service that is ready.

        Raises:
            ConfigurationError: A setting or file is wrong, or a package is not installed.
            StackError: Docker is not there, an image is missing, a port is taken, or a service is
                not ready in time. What was started stays, and a second start goes on from there.
            ModelDBError: The registry refused.
            ResultsDBError: The results database refused.
        """
        _settings.check_drivers()
        check_docker()
        variables = _settings.of_compose(self.folder)
        others = [Path(file).absolute() for file in files] or self.folder.compose_files
        if missing := [file for file in others if not file.is_file()]:
            raise ConfigurationError(
                f"There is no file {str(missing[0])!r}, which was named by --file, now or at the "
                "last start."
            )
        if not self.folder.has_passwords() and (kept := volumes(self.project)):
            raise StackError(
                f"There are data of a stack {self.project!r} ({', '.join(kept)}), and not all "
                f"passwords to them are in {self.folder.secrets}: they are lost, in another "
                "LUME_HOME, or another user's. Put that folder back, or use another --project. To "
                "delete the data for good: `lume-services docker stop "
                f"--project {self.project} --delete`"
            )
        compose = self._compose(variables, others)
        images = compose.images()
        check_images(images, tell)
        try:
            passwords = self.folder.passwords()
            of_users = _settings.of_users(variables, passwords)
            self.folder.write_start(persist=persist or self.folder.persists, files=others)
            self.folder.write_variables(of_users)
        except OSError as error:
            raise StackError(f"{self.folder.path} cannot be written: {error}.") from error
        _make_mount(variables)
        start_all(compose, images, ports=variables, timeout_s=timeout_s, tell=tell)
        _settings.prepare(of_users)

    def stop(self, *, delete: bool = False) -> None:
        """Stop it: end and remove its containers.

        Args:
            delete: Delete what the databases have stored, and the passwords. Files of the shared
                folder stay.

        Raises:
            StackError: Docker is not there, or refused.
        """
        check_docker()
        compose = self._compose_of_last_start()
        compose.run("down", "--remove-orphans", *(["--volumes"] if delete else []))
        if delete:
            if left := volumes(self.project):
                docker("volume", "rm", *left)
            self.folder.delete()

    def stored(self) -> bool:
        """Whether there is something that ``stop`` could delete."""
        check_docker()
        return bool(volumes(self.project))

    def status(self) -> list[ServiceStatus]:
        """How each service is."""
        check_docker()
        compose = self._compose_of_last_start()
        return compose.status(compose.images())

    def logs(self, services: Sequence[str] = (), *, follow: bool = False, tail: int = 100) -> None:
        """Print the logs of services.

        Args:
            services: Which; all when none is named.
            follow: Go on until it is interrupted.
            tail: Lines of each, from its end.

        Raises:
            ConfigurationError: There is no such service.
            StackError: Docker is not there, or refused.
        """
        check_docker()
        compose = self._compose_of_last_start()
        known = compose.images()
        if unknown := [name for name in services if name not in known]:
            raise ConfigurationError(
                f"There is no service {unknown[0]!r}. There are {', '.join(known)}."
            )
        options = ["--no-color", f"--tail={tail}", *(["--follow"] if follow else [])]
        if compose.show("logs", *options, *services):
            raise StackError("The logs could not be read.")

    def hidden(self) -> list[str]:
        """Variables of this environment that differ from the env file, and win over it."""
        variables = self.folder.variables()
        ours = {name.upper(): text for name, text in os.environ.items() if text}
        return sorted(
            name
            for name, text in ours.items()
            if name.startswith(_GROUPS) and text != variables.get(name)
        )

    def _compose_of_last_start(self) -> Compose:
        files = [file for file in self.folder.compose_files if file.is_file()]
        return self._compose(_settings.of_compose(self.folder), files)

    def _compose(self, variables: Mapping[str, str], others: Sequence[Path]) -> Compose:
        directory = others[0].parent if others else DOCKER_COMPOSE.parent
        return Compose(self.project, [DOCKER_COMPOSE, *others], directory, variables)


def _make_mount(variables: Mapping[str, str]) -> None:
    """Make the folder that jobs share; Docker would make it as root's."""
    prefix = _settings.MOUNT
    parts: Any = {
        name.removeprefix(prefix).lower(): text
        for name, text in variables.items()
        if name.startswith(prefix)
    }
    MountedFilesystem(**parts)
