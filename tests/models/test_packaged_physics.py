"""Packaged models with real libraries from the package index; and none from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lume_services.models import Model
from tests.environment.models import RING, model_wheel
from tests.environment.test_environments import LIBRARY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# A slice of a spectrum, in a way that numpy 2 changed: the mean of float32 stays float32, and
# repr(np.float32(…)) says so.
NUMPY = """
import numpy as np


def spectrum(inputs):
    wave = np.sin(np.arange(8) * inputs["step"])
    return {
        "numpy": np.__version__,
        "shown": repr(np.float32(0.5)),
        "power": np.abs(np.fft.rfft(wave)) ** 2,
    }
"""


def test_two_versions_of_numpy_in_one_program(lume_home: Path, tmp_path: Path) -> None:
    model = Model.create_model(description="spectrum")
    needs = {"1.0": "numpy<2", "2.0": "numpy>=2"}
    for version, numpy in needs.items():
        model.store_deployment(
            model_wheel(
                tmp_path,
                name="spectrum",
                version=version,
                source=NUMPY,
                model="spectrum",
                requires=[numpy],
            )
        )
    old, new = Model.find("spectrum"), Model.find("spectrum")
    old.load_deployment(version="1.0")
    new.load_deployment(version="2.0")
    for step in (0.1, 0.2, 0.3):
        first, second = old.evaluate({"step": step}), new.evaluate({"step": step})
        assert first.outputs["numpy"].startswith("1.")
        assert second.outputs["numpy"].startswith("2.")
        assert (first.outputs["shown"], second.outputs["shown"]) == ("0.5", "np.float32(0.5)")
        assert first.outputs["power"] == pytest.approx(second.outputs["power"])
    numpy_of = {one.version: one.provenance.package_list() for one in old.get_results(limit=1)}
    assert any(one.startswith("numpy==1.") for one in numpy_of["1.0"])


def test_a_storage_ring(lume_home: Path, tmp_path: Path) -> None:
    """The tunes are those that pyAT gives in a process of its own."""
    model = Model.create_model(description="hmba")
    wheel = model_wheel(
        tmp_path,
        name="hmba",
        source=RING,
        model="Ring",
        requires=["accelerator-toolbox", "lume-base>=0.5"],
    )
    model.store_deployment(wheel)
    result = model.evaluate()
    assert result.outputs["tune_x"] == pytest.approx(0.3816, abs=1e-4)
    assert result.outputs["tune_y"] == pytest.approx(0.8544, abs=1e-4)
    assert result.outputs["beta"].shape == (122, 2)
    frame = model.sweep([{"scale": 1 + number * 1e-3} for number in range(4)], max_workers=2)
    assert frame["outputs.tune_x"].is_monotonic_increasing


ALONE = """
import socket
from lume_services.config import configure
from lume_services.models import Model

try:
    socket.create_connection(("198.51.100.1", 80), timeout=5)
except OSError as error:
    print(f"no network: {error}")
configure()
model = Model.create_model(description="alone")
model.store_deployment("WHEEL")
print(model.run_and_return({"f": 2.0}).outputs)
"""


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_isolated_in_a_namespace_without_a_network(
    lume_home: Path, tmp_path: Path, installer: str
) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"]).returncode:
        pytest.skip("needs network namespaces: apt-get install util-linux, and leave to use them")
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    model_wheel(tmp_path / "repository", **LIBRARY)
    hidden = "import lume_services.environment.installers as i; i._uv = lambda: None\n"
    program = (hidden if installer == "pip" else "") + ALONE.replace("WHEEL", str(wheel))
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", program],
        env={
            **os.environ,
            "LUME_PREFECT__ISOLATED": "true",
            "LUME_ENVIRONMENT__LOCAL_PIP_REPOSITORY": str(tmp_path / "repository"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    no_network, outputs = done.stdout.splitlines()
    assert no_network.startswith("no network")
    assert outputs == "{'xp': -0.0005, 'version': '1.0'}"
