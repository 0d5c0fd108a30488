"""The image of jobs, made by the project's own command."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.servers._docker import Docker

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests/services/scheduling/job_package"
"""What is installed in it beside: a module with flows of the tests."""
_NAME = "lume-services-test"


def job_image(docker: Docker) -> str:
    """The name of the image; it stays until a source changes."""
    tag = f"{_NAME}:{_digest(ROOT / 'src', ROOT / 'pyproject.toml', PACKAGE)}"
    images = docker.client().images
    if not images.list(tag):
        base = docker.base_image()
        subprocess.run(
            [
                *(sys.executable, "-m", "lume_services", "docker", "build", "--tag", tag),
                *("--base", base, "--network", "host", "--source", ROOT),
                *("--with", "pytest", "--with", PACKAGE),
            ],
            env={**os.environ, "DOCKER_HOST": docker.address, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        for image in images.list(_NAME):
            if tag not in image.tags:
                images.remove(image.id, force=True)
    return tag


def _digest(*places: Path) -> str:
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
