"""The settings of a worker, on their way into its jobs."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prefect.settings import get_current_settings

from lume_services._variables import SECRETS_DIR
from lume_services.docker.image import image_of_jobs
from lume_services.services.files.filesystems import MountedFilesystem
from lume_services.services.scheduling.settings import PrefectConfig, PrefectServerConfig

if TYPE_CHECKING:
    from lume_services.settings import LUMEServicesSettings

__all__ = ["IN_CONTAINERS", "JobEnvironment"]

IN_CONTAINERS: Final = "/run/secrets/lume-services"
"""Where the folder of secrets is mounted."""
_OF_JOBS: Final = "LUME_JOB__"
_OF_THIS_MACHINE: Final = ("LUME_HOME", "LUME_ENV_FILE", "PREFECT_HOME", "PREFECT_PROFILES_PATH")
_OF_PREFECTS_CLIENT: Final = ("PREFECT_API_", "PREFECT_CLIENT_")


class JobEnvironment:
    """What makes a job's settings those of its worker.

    Passwords, what lets a client into Prefect's server, and what ``LUME_JOB__<variable>`` gives
    jobs in place of the worker's own value, are files of a folder that only this user can read, so
    that no process list, container or API shows them. The folder is deleted with this object.

    Args:
        settings: The worker's settings.
        network: Network of jobs that are containers, where Docker's own choice is not meant.

    Attributes:
        variables: The environment variables, without secrets and without ``LUME_SECRETS_DIR``.
        secrets: The folder.
        image: The image of jobs that name none.
        network: The network of jobs that name none.
        mount: The folder that jobs see under another path.
    """

    def __init__(self, settings: LUMEServicesSettings, *, network: str | None = None) -> None:
        public = settings.to_environment()
        private = settings.secret_environment()
        aliases = {
            f"LUME_{name.removeprefix(_OF_JOBS).removeprefix('LUME_')}": private.pop(name)
            for name in list(private)
            if name.startswith(_OF_JOBS)
        }
        self.mount = settings.mounted_filesystem
        self._api_url = _seen_by_jobs(settings, aliases)
        self.image = image_of_jobs(settings)
        self.network = network
        self._of_prefect = _secrets_of_prefect()
        self.variables = {name: text for name, text in public.items() if name not in aliases}
        self.secrets = Path(tempfile.mkdtemp(prefix="lume-secrets-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.secrets, ignore_errors=True)
        for_client = {
            name: text
            for name, text in self._of_prefect.items()
            if name.startswith(_OF_PREFECTS_CLIENT)
        }
        for name, text in (private | aliases | for_client).items():
            file = os.open(self.secrets / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as stream:
                stream.write(text)

    def of_process(self) -> dict[str, str]:
        """The variables of a job on this machine: those of this process, ours in place of its."""
        others = {
            name: text
            for name, text in os.environ.items()
            if not name.upper().startswith("LUME_") or name.upper().startswith("LUME_TEST_")
        }
        return {**others, **self.variables, SECRETS_DIR: str(self.secrets)}

    def of_container(self, prepared: Mapping[str, str | None]) -> dict[str, str | None]:
        """The variables of a job in a container.

        Args:
            prepared: Those that Prefect has prepared, with what the run asks for.
        """
        not_there = {*_OF_THIS_MACHINE, *self._of_prefect}
        environment = {
            name: text
            for name, text in {**prepared, **self.variables, SECRETS_DIR: IN_CONTAINERS}.items()
            if name not in not_there
        }
        if self._api_url is not None:
            environment["PREFECT_API_URL"] = self._api_url
        return environment

    def mounts(self) -> list[str]:
        """The mounted filesystem, as Docker writes volumes."""
        if self.mount is None:
            return []
        # Made here when it is missing: Docker would make it as root's.
        MountedFilesystem(**self.mount.model_dump())
        return [f"{self.mount.mount_path}:{self.mount.mount_alias}"]

    def secret_values(self) -> dict[str, str]:
        """What is in the folder: the text of each file by its name."""
        return {file.name: file.read_text("utf-8") for file in self.secrets.iterdir()}


def _secrets_of_prefect() -> dict[str, str]:
    """Those of Prefect's own settings that are secret, such as the key to its API."""
    settings = get_current_settings()
    shown = settings.to_environment_variables(exclude_unset=True, include_secrets=False)
    return {
        name: text
        for name, text in settings.to_environment_variables(exclude_unset=True).items()
        if shown.get(name) != text or name == "PREFECT_CLIENT_CUSTOM_HEADERS"
    }


def _seen_by_jobs(settings: LUMEServicesSettings, aliases: Mapping[str, str]) -> str | None:
    """The address of Prefect's API for jobs, where ``LUME_JOB__PREFECT__SERVER__…`` gives one."""
    server = {
        name.removeprefix("LUME_PREFECT__SERVER__").lower(): text
        for name, text in aliases.items()
        if name.startswith("LUME_PREFECT__SERVER__")
    }
    if not server:
        return None
    prefect = settings.prefect or PrefectConfig()
    changed = {**prefect.server.model_dump(exclude_unset=True), **server}
    return PrefectConfig(server=PrefectServerConfig(**changed)).api_url
