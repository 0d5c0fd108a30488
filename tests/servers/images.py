"""Images that tests make; they stay until what they are made of changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from docker.errors import APIError

from tests.servers._docker import Docker

ROOT = Path(__file__).parents[2]
JOB_PACKAGE = ROOT / "tests/services/scheduling/job_package"
"""The folder of a module that is in the image of jobs."""
_STACK_IMAGES = ROOT / "tests/services/scheduling/stack_images"


def job_image_of(docker: Docker) -> str:
    """The image of jobs, made by the command."""
    name = "lume-services-test"
    tag = f"{name}:{_digest(ROOT / 'src', ROOT / 'pyproject.toml', JOB_PACKAGE)}"
    if not docker.client().images.list(tag):
        base = docker.base_image()
        subprocess.run(
            [
                *(sys.executable, "-m", "lume_services", "docker", "build", "--tag", tag),
                *("--base", base, "--network", "host", "--source", ROOT),
                *("--with", "pytest", "--with", "accelerator-toolbox", "--with", JOB_PACKAGE),
            ],
            env={**os.environ, "DOCKER_HOST": docker.address, "PYTHONPATH": str(ROOT / "src")},
            check=True,
        )
        _remove_older(docker, name, tag)
    return tag


def stack_images_of(docker: Docker) -> dict[str, str]:
    """Images in the place of the official ones that the compose file names, by service."""
    prefect = version("prefect")
    tag = f"{_digest(_STACK_IMAGES)}-{prefect}"
    services = ("mysql", "mongodb", "prefect-database", "prefect")
    names = {service: f"lume-test-{service}:{tag}" for service in services}
    if not all(docker.client().images.list(name) for name in names.values()):
        base = docker.base_image()
        for service, name in names.items():
            subprocess.run(
                [
                    *("docker", "build", "--quiet", "--network=host", f"--target={service}"),
                    *(f"--build-arg=BASE={base}", f"--build-arg=PREFECT={prefect}"),
                    *(f"--tag={name}", _STACK_IMAGES),
                ],
                env={**os.environ, "DOCKER_HOST": docker.address, "DOCKER_BUILDKIT": "0"},
                check=True,
            )
            _remove_older(docker, f"lume-test-{service}", name)
    return names


def _remove_older(docker: Docker, name: str, kept: str) -> None:
    images = docker.client().images
    for image in images.list(name):
        if kept not in image.tags:
            with suppress(APIError):  # a test that was killed has left an image built on it
                images.remove(image.id, force=True)


def _digest(*places: Path) -> str:
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
