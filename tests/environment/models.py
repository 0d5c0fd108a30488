"""Packages that can be installed: wheels written by hand, so that nothing has to be built."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

LENS = '''
"""A thin lens: numbers in, numbers out, and a few ways to go wrong."""

VERSION = "{version}"


def lens(inputs):
    f = inputs.get("f", 1.0)
    print("the model prints")
    if f == 0:
        raise ZeroDivisionError("a lens of no focal length")
    if f < 0:
        import os

        os._exit(3)
    return {{"xp": -1e-3 / f, "version": VERSION}}
'''
FLOW = """
from lume_services.flows import flow, task
from prefect import get_run_logger

from {name}.model import lens


@task
def bend(f: float) -> float:
    return lens({{"f": f}})["xp"]


@flow(name="bend-twice")
def bend_twice(f: float = 1.0) -> float:
    get_run_logger().info("bending by %s", f)
    return bend(f) + bend(2 * f)
"""

RING = """
import at
import machine_data
import numpy as np
from lume.model import LUMEModel
from lume.variables import NDVariable, ScalarVariable


class Ring(LUMEModel):
    \"\"\"The ESRF's lattice, its quadrupoles scaled.\"\"\"

    def __init__(self):
        self._ring = at.load_lattice(list(machine_data.__path__)[0] + "/hmba.mat")
        self._ring.disable_6d()
        self._quadrupoles = [one for one in self._ring if isinstance(one, at.Quadrupole)]
        self._strengths = [one.PolynomB[1] for one in self._quadrupoles]
        self.reset()

    @property
    def supported_variables(self):
        return {
            "scale": ScalarVariable(name="scale", default_value=1.0, value_range=(0.99, 1.01)),
            "tune_x": ScalarVariable(name="tune_x", read_only=True),
            "tune_y": ScalarVariable(name="tune_y", read_only=True),
            "beta": NDVariable(name="beta", shape=(122, 2), unit="m", read_only=True),
        }

    def reset(self):
        self._values = {"scale": 1.0}

    def _set(self, values):
        self._values.update(values)
        for one, strength in zip(self._quadrupoles, self._strengths):
            one.PolynomB[1] = strength * self._values["scale"]
        _, ring, elements = self._ring.get_optics(at.All)
        self._values.update(
            tune_x=float(ring.tune[0]), tune_y=float(ring.tune[1]), beta=np.array(elements.beta)
        )

    def _get(self, names):
        return {name: self._values[name] for name in names}
"""


def model_wheel(
    folder: Path,
    *,
    name: str = "thinlens",
    version: str = "1.0",
    source: str = LENS,
    model: str | None = "lens",
    flow: str | None = None,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """A wheel with a model.

    Args:
        folder: Where it is written; made when it is missing.
        name: Of the distribution and the package.
        version: Its version.
        source: Of its module ``model``; ``{version}`` is filled in.
        model: Name in that module.
        flow: ``module:name`` of its flow, the module being written by ``FLOW`` or ``files``.
        requires: What it needs.
        files: Further files, by path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    points = "[orchestration]\n"
    if model is not None:
        points += f"{name}.model = {name}.model:{model}\n"
    if flow is not None:
        points += f"{name}.flow = {flow}\n"
    contents = {
        f"{name}/__init__.py": "",
        f"{name}/model.py": source.format(version=version) if source is LENS else source,
        **({f"{name}/flow.py": FLOW.format(name=name)} if flow is not None else {}),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
        **(files or {}),
    }
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in contents.items():
            archive.writestr(zipfile.ZipInfo(file), text)
            digest = base64.urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=")
            record += f"{file},sha256={digest.decode()},{len(text.encode())}\n"
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record + f"{info}/RECORD,,\n")
    return path
