"""Four flows about a FODO cell: the optics, the tune of a ring, the beam size, and the clearance.

A FODO cell of length L has a thin focusing and a thin defocusing quadrupole, both of focal length
f, L/2 apart. Its phase advance mu is that of sin(mu/2) = L/(4f), and the largest beta function is
L (1 + sin(mu/2)) / sin(mu).
"""

from __future__ import annotations

from math import asin, pi, sin, sqrt
from typing import Any

from lume_services.files import YAMLFile
from lume_services.flows import flow, task
from lume_services.results import Result
from lume_services.tasks import (
    LoadFile,
    SaveFile,
    configure_lume_services,
    save_db_result,
)

save_optics = SaveFile(name="save_optics", retries=2)
load_optics = LoadFile(name="load_optics")


@task
def phase_advance(focal_length: float, cell_length: float) -> float:
    """Phase advance of a cell, in radians; lengths in metres."""
    return 2 * asin(cell_length / (4 * focal_length))


@flow
def optics(filename: str, focal_length: float = 5.0, cell_length: float = 10.0) -> None:
    """Compute the optics of a cell and write them to a file; lengths in metres."""
    configure_lume_services()
    mu = phase_advance(focal_length, cell_length)
    beta_max = cell_length * (1 + sin(mu / 2)) / sin(mu)
    save_optics({"mu": mu, "beta_max": beta_max}, filename, file_type=YAMLFile)


@flow
def tune(phase_advance: float, cells: int = 16) -> float:
    """The tune of a ring of such cells."""
    return cells * phase_advance / (2 * pi)


@flow
def beam_size(optics_file: dict[str, Any], emittance: float = 1e-8) -> None:
    """Store the largest beam size, in metres; the emittance is in metre radians."""
    configure_lume_services()
    beta_max = load_optics(optics_file)["beta_max"]
    save_db_result(
        Result(
            project_name="fodo",
            inputs={"emittance": emittance, "beta_max": beta_max},
            outputs={"sigma_max": sqrt(emittance * beta_max)},
        )
    )


@flow
def clearance(sigma_max: float, aperture: float = 0.02) -> float:
    """How many times the beam size fits into the half aperture, in metres."""
    return aperture / sigma_max
