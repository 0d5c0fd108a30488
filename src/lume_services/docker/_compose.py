"""Docker and its compose program, as the stack calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from lume_services.errors import StackError

__all__ = ["Compose", "ServiceStatus", "check_docker", "docker", "volumes"]

_LABEL = "com.docker.compose"


@dataclass(frozen=True)
class ServiceStatus:
    """One service of a stack, as Docker sees it."""

    name: str
    """As the compose file names it."""
    state: str
    """``healthy``, ``starting``, ``unhealthy``, ``not started``, or what Docker says of a
    container without a health check: ``running``, ``exited``, ``restarting`` and others."""
    image: str
    """The image of its container."""
    address: str = ""
    """Where it is published on this machine: ``127.0.0.1:3306``."""
    restarts: int = 0
    """How often Docker had to start it again."""
    said: str = ""
    """The last words of its health check."""
    container: str = ""
    """Its container's id."""

    @property
    def ready(self) -> bool:
        """Whether it can be worked with."""
        return self.state in ("healthy", "running")


def docker(*arguments: str, check: bool = True, errors_too: bool = False) -> str:
    """What a command of Docker prints.

    Args:
        arguments: The command and its arguments.
        check: Whether it is an error when it fails.
        errors_too: Whether what it prints on its standard error is wanted too.

    Raises:
        StackError: It failed, or there is no such program.
    """
    done = _run([_docker(), *arguments])
    if check and done.returncode:
        raise StackError(f"`docker {' '.join(arguments[:2])}` failed: {done.stderr.strip()}")
    return done.stdout + done.stderr if errors_too else done.stdout


def check_docker() -> None:
    """See whether Docker answers.

    Raises:
        StackError: It does not.
    """
    done = _run([_docker(), "version", "--format", "{{.Server.Version}}"])
    if done.returncode:
        raise StackError(
            f"Docker does not answer: {done.stderr.strip()}. See that it is installed and runs "
            "(`docker info`), that you may use it, and DOCKER_HOST."
        )


def volumes(project: str) -> list[str]:
    """The volumes of a project, whether or not anything uses them."""
    return docker(
        "volume", "ls", "--quiet", "--filter", f"label={_LABEL}.project={project}"
    ).split()


class Compose:
    """The compose program, called for one project.

    Args:
        project: The project's name.
        files: Its compose files.
        directory: Where relative paths in them start.
        variables: What they refer to, beside the environment.

    Raises:
        StackError: There is no such program.
    """

    def __init__(
        self, project: str, files: Sequence[Path], directory: Path, variables: Mapping[str, str]
    ) -> None:
        self.project = project
        self._environment = {**os.environ, **variables}
        self._command = [
            *_program(),
            f"--project-name={project}",
            f"--project-directory={directory}",
            *(f"--file={file}" for file in files),
        ]

    def run(self, *arguments: str) -> str:
        """What one of its commands prints.

        Raises:
            StackError: It failed.
        """
        done = _run([*self._command, *arguments], self._environment)
        if done.returncode:
            raise StackError(f"`docker compose {arguments[0]}` failed: {done.stderr.strip()}")
        return done.stdout

    def show(self, *arguments: str) -> int:
        """Run one of its commands where the user sees what it prints; its exit code."""
        command = [*self._command, *arguments]
        return subprocess.run(command, env=self._environment, check=False).returncode

    @contextmanager
    def starting(self) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
        """Start every service; give the process that does it, and the file of what it says.

        The process is ended with the context.
        """
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            process = subprocess.Popen(
                [*self._command, "up", "--detach", "--remove-orphans"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            try:
                yield process, said
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()

    def images(self) -> dict[str, str]:
        """The image of each service."""
        services = yaml.safe_load(self.run("config"))["services"]
        return {name: str(service.get("image", "")) for name, service in services.items()}

    def status(self, images: Mapping[str, str]) -> list[ServiceStatus]:
        """What has become of services.

        Args:
            images: The services, with their images.
        """
        found = {one.name: one for one in map(_status, self._containers())}
        return [
            found.get(name) or ServiceStatus(name, "not started", images[name]) for name in images
        ]

    def _containers(self) -> list[Any]:
        filters = (f"label={_LABEL}.project={self.project}", f"label={_LABEL}.oneoff=False")
        named = [word for one in filters for word in ("--filter", one)]
        ids = docker("ps", "--all", "--quiet", *named).split()
        # One that was removed meanwhile is an error and not in the answer.
        inspected: list[Any] = json.loads(docker("inspect", *ids, check=False)) if ids else []
        return inspected


def _status(container: Any) -> ServiceStatus:
    state = container["State"]
    health = state.get("Health") if state["Status"] == "running" else None
    ports = (container["NetworkSettings"].get("Ports") or {}).values()
    published = [f"{one['HostIp']}:{one['HostPort']}" for each in ports for one in each or ()]
    checks = (state.get("Health") or {}).get("Log") or [{"Output": ""}]
    return ServiceStatus(
        name=container["Config"]["Labels"][f"{_LABEL}.service"],
        state=health["Status"] if health else state["Status"],
        image=container["Config"]["Image"],
        address=", ".join(published),
        restarts=container.get("RestartCount", 0),
        said=checks[-1]["Output"].strip(),
        container=container["Id"],
    )


def _docker() -> str:
    found = shutil.which("docker")
    if found is None:
        raise StackError(
            "Docker is not installed: there is no program `docker`. See "
            "https://docs.docker.com/engine/install/; on Debian: apt-get install docker.io"
        )
    return found


def _program() -> list[str]:
    plugin = [_docker(), "compose"]
    if _run([*plugin, "version"]).returncode == 0:
        return plugin
    if older := shutil.which("docker-compose"):
        return [older]
    raise StackError(
        "Docker Compose is not installed: there is neither `docker compose` nor `docker-compose`. "
        "See https://docs.docker.com/compose/install/; on Debian: apt-get install docker-compose"
    )


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
