"""From an empty folder to the same numbers on three backends, by commands alone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.environment.models import model_wheel
from tests.servers import Docker, Worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Shell = Callable[..., str]


@pytest.fixture
def shell(tmp_path: Path, docker_variables: dict[str, str], docker: Docker) -> Shell:
    """Run a command line as a user with an empty HOME does, showing it."""
    (home := tmp_path / "home").mkdir()
    programs = Path(sys.executable).parent
    variables = {**docker_variables, "LUME_HOME": str(home / "lume")}
    del variables["LUME_BACKEND"]
    # The servers of these tests, and what a machine needs to reach the package index.
    environment = {**os.environ, **variables, "HOME": str(home), "DOCKER_HOST": docker.address}
    environment.update(PATH=f"{programs}:{os.environ['PATH']}", DOCKER_BUILDKIT="0")
    environment.pop("PYTHONPATH", None)

    def run(line: str, folder: Path = tmp_path, **more: str) -> str:
        print("$", *(f"{name}={text}" for name, text in more.items()), line)
        started = time.monotonic()
        done = subprocess.run(
            shlex.split(line),
            cwd=folder,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        print(f"  ({time.monotonic() - started:.1f} s)")
        shown = (done.stdout + done.stderr).strip().splitlines()
        print(*(f"  {text[:150]}" for text in shown[-6:]), sep="\n")
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def test_from_a_template_to_the_same_numbers_everywhere(
    shell: Shell,
    docker_worker: Worker,
    docker_variables: dict[str, str],
    job_image: str,
    tmp_path: Path,
) -> None:
    shell("lume-services db upgrade")
    shell("lume-services init fodo-cell --description 'a FODO cell' --defaults")
    cell = tmp_path / "fodo-cell"
    assert "passed" in shell("pytest -q", cell)
    shell("lume-services package check .", cell)
    shell("python -m build --sdist", cell)
    shell("lume-services models create --description 'a FODO cell' --laboratory SLAC")
    archive = cell / "dist" / "fodo_cell-0.1.0.tar.gz"
    shell(f"lume-services deployments store {archive} --model 'a FODO cell' --project cells")
    shell(
        f"docker build --quiet --network host --build-arg BASE={job_image} --tag fodo-cell:0.1.0 .",
        cell,
    )
    run = "lume-services run 'a FODO cell' -p k1_qf=1.1 --json"
    found = {"local": json.loads(shell(run, LUME_BACKEND="local"))}
    here = {"LUME_BACKEND": "process", "LUME_HOME": str(tmp_path / "home" / "lume")}
    with Worker(tmp_path, {**docker_variables, **here}):
        found["process"] = json.loads(shell(run, LUME_BACKEND="process"))
    found["docker"] = json.loads(shell(run, LUME_BACKEND="docker"))
    shell("docker rmi --force fodo-cell:0.1.0")
    assert found["local"] == found["process"] == found["docker"]
    assert found["local"]["beta_x_max"] > found["local"]["beta_x_min"] > 0
    recorded = json.loads(shell("lume-services results list 'a FODO cell' --json"))
    assert len(recorded) == 1, "one result: it is the same everywhere"
    shell("lume-services deployments prune")


@pytest.mark.parametrize(
    "backend", ["docker", pytest.param("kubernetes", marks=pytest.mark.kubernetes)]
)
def test_without_an_image_the_environment_is_made_in_the_container(
    shell: Shell, backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    request.getfixturevalue(f"{backend}_worker")
    shell("lume-services db upgrade")
    shell("lume-services models create --description 'a thin lens'")
    wheel = model_wheel(tmp_path)
    shell(f"lume-services deployments store {wheel} --model 'a thin lens'")
    wheel.unlink()  # the container takes it from the registry
    run = "lume-services run 'a thin lens' -p f=4.0 --json"
    found = json.loads(shell(run, LUME_BACKEND=backend))
    assert found["outputs"] == {"xp": -0.25e-3, "version": "1.0"}
    shell(f"lume-services results rerun {found['id']}")  # exits with 1 when something differs
