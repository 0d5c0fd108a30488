"""Docker's daemon, and an image to build on where no registry can be reached."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from tests.servers._server import Server, missing

CACHE = Path.home() / ".cache" / "lume-services"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_RUNTIME = Path(__file__).parent / "kubernetes/runc-oom"
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"


class Docker(Server):
    """Docker's daemon, whose containers have this machine's network or none.

    Images stay in a folder of the user's cache, since making them takes minutes. One daemon at a
    time can have it; another waits. Containers are gone when it stops.
    """

    program = "dockerd"
    install = "apt-get install docker.io debootstrap"

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, *arguments)
        self.root = CACHE / "docker"
        self.pid_file = CACHE / "docker.pid"
        self._lock: IO[str] | None = None

    @property
    def address(self) -> str:
        """What ``DOCKER_HOST`` is to be."""
        return f"unix://{self.folder}/docker.sock"

    def command(self) -> list[str]:
        """What to run."""
        return [
            self.executable(),
            f"--data-root={self.root}",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.pid_file}",
            f"--host={self.address}",
            "--iptables=false",
            "--bridge=none",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            f"--add-runtime=oomrunc={_RUNTIME}",
            "--default-runtime=oomrunc",
            *self.arguments,
        ]

    def start(self) -> Self:
        """Start it, once no other has the images."""
        self.executable()
        if os.geteuid() != 0:
            missing(f"{self.program} as root", "the tests as root")
        if self._lock is None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = (CACHE / "docker.lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._end_leftover()
        super().start()
        self._remove_containers()
        return self

    def stop(self) -> None:
        """Remove the containers, stop it, and undo what it has mounted."""
        if self.process is not None:
            self._remove_containers()
        super().stop()
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith((f"{self.root}/", f"{self.folder}/")):
                subprocess.run(["umount", "--lazy", mount], check=False)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def connect(self) -> None:
        """Open its socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.folder / "docker.sock"))

    def ask(self) -> None:
        """Ask for its version."""
        self.client().ping()

    def url(self, name: str) -> str:
        """One daemon has one of everything."""
        return self.address

    def drop(self, name: str) -> None:
        """Nothing is made for a test."""

    def client(self) -> Any:
        """A client of Docker's own library."""
        import docker

        return docker.DockerClient(self.address)

    def base_image(self) -> str:
        """The name of an image with Debian's Python, which trusts whom this machine trusts."""
        import docker

        digest = hashlib.sha256(_CERTIFICATES.read_bytes()).hexdigest()[:12]
        name = f"lume-test-base:{digest}"
        with suppress(docker.errors.ImageNotFound):
            self.client().images.get(name)
            return name
        variables = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
        self.client().api.import_image(
            str(_debian(CACHE / f"debian-{digest}.tar")),
            repository="lume-test-base",
            tag=digest,
            changes=[f"ENV {variable}={_CERTIFICATES}" for variable in variables],
        )
        return name

    def _remove_containers(self) -> None:
        for container in self.client().containers.list(all=True):
            container.remove(force=True)

    def _end_leftover(self) -> None:
        """End a daemon whose test was killed; nobody else has one on this folder."""
        with suppress(FileNotFoundError, ProcessLookupError):
            process = int(self.pid_file.read_text())
            command = Path(f"/proc/{process}/cmdline")
            if f"--data-root={self.root}" in command.read_text():
                os.kill(process, signal.SIGTERM)
                while command.read_text():
                    time.sleep(0.1)


def need_compose() -> None:
    """Skip the test where neither Docker Compose's plugin nor Debian's program is installed."""
    if shutil.which("docker") is None:
        missing("docker", "apt-get install docker.io")
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode and shutil.which("docker-compose") is None:
        missing("docker-compose", "apt-get install docker-compose")


def _debian(archive: Path) -> Path:
    """The files of a small Debian with Python, as a tar archive."""
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            root = Path(folder) / "root"
            with (CACHE / "debootstrap.log").open("w") as log:
                subprocess.run(
                    [
                        "debootstrap",
                        "--variant=minbase",
                        f"--include={_PACKAGES}",
                        "bookworm",
                        root,
                    ],
                    stdout=log,
                    stderr=log,
                    check=True,
                )
            (root / _CERTIFICATES.relative_to("/")).write_bytes(_CERTIFICATES.read_bytes())
            half = Path(folder) / "half.tar"
            subprocess.run(["tar", "-C", root, "-cf", half, "."], check=True)
            half.rename(archive)
    return archive
