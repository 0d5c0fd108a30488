"""One program, unchanged, on every backend; variables say which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Worker

from lume_services.config import LUMEServicesSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PROGRAM = Path(__file__).with_name("ring.py")
BACKENDS = ["process", "docker", pytest.param("kubernetes", marks=pytest.mark.kubernetes)]


def outputs(variables: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, PROGRAM],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@cache
def outputs_here(home: str) -> dict[str, Any]:
    return outputs({"LUME_HOME": home, "LUME_BACKEND": "local"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_ring_has_the_same_optics(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    worker: Worker = request.getfixturevalue(f"{backend}_worker")
    variables = {
        name: text
        for name, text in worker.variables.items()
        if name.startswith("LUME_") and not name.startswith("LUME_JOB__")
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables.items():
            patch.setenv(name, text)
        shown = LUMEServicesSettings().masked()
    print(f"{backend}:", *(f"  {name}={shown[name]}" for name in variables), sep="\n")
    given = outputs(variables)
    print(f"  tunes {float.fromhex(given['tune_x']):.4f} {float.fromhex(given['tune_y']):.4f}")
    assert given == outputs_here(str(tmp_path_factory.getbasetemp() / "local"))
