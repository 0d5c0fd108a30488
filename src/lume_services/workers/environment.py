"""The settings of a worker, on their way into its jobs."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lume_services._variables import SECRETS_DIR
from lume_services.docker import DEFAULT_IMAGE
from lume_services.services.scheduling.settings import PrefectConfig, PrefectServerConfig

if TYPE_CHECKING:
    from lume_services.settings import LUMEServicesSettings

__all__ = ["IN_CONTAINERS", "JobEnvironment"]

IN_CONTAINERS: Final = "/run/secrets/lume-services"
"""Where the folder of secrets is mounted."""
_OF_JOBS: Final = "LUME_JOB__"
_OF_THIS_MACHINE: Final = ("LUME_HOME", "LUME_ENV_FILE")


class JobEnvironment:
    """What makes a job's settings those of its worker.

    Passwords, and what ``LUME_JOB__<variable>`` gives jobs in place of the worker's own value, are
    files of a folder that only this user can read, so that no process list, container or API shows
    them. The folder is deleted with this object.

    Args:
        settings: The worker's settings.

    Attributes:
        variables: The environment variables, without secrets and without ``LUME_SECRETS_DIR``.
        secrets: The folder.
        image: The image of jobs that name none.
    """

    def __init__(self, settings: LUMEServicesSettings) -> None:
        public = settings.to_environment()
        everything = settings.to_environment(include_secrets=True)
        private = {name: everything[name] for name in everything.keys() - public.keys()}
        aliases = {
            f"LUME_{name.removeprefix(_OF_JOBS).removeprefix('LUME_')}": private.pop(name)
            for name in list(private)
            if name.startswith(_OF_JOBS)
        }
        self._mount = settings.mounted_filesystem
        self._api_url = _seen_by_jobs(settings, aliases)
        default_image = settings.prefect.default_image if settings.prefect else None
        self.image = default_image or DEFAULT_IMAGE
        self.variables = {name: text for name, text in public.items() if name not in aliases}
        self.secrets = Path(tempfile.mkdtemp(prefix="lume-secrets-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.secrets, ignore_errors=True)
        for name, text in (private | aliases).items():
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
        ours = {name: text for name, text in self.variables.items() if name not in _OF_THIS_MACHINE}
        environment = {**prepared, **ours, SECRETS_DIR: IN_CONTAINERS}
        if self._api_url is not None:
            environment["PREFECT_API_URL"] = self._api_url
        return environment

    def mounts(self) -> list[str]:
        """The mounted filesystem, as Docker writes volumes."""
        if self._mount is None:
            return []
        return [f"{self._mount.mount_path}:{self._mount.mount_alias}"]


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
