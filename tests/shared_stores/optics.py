"""The model of the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

PIXELS = 400


def beam_at_screen(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A round beam after a quadrupole of focal length ``f`` (m) and a drift of ``length`` (m).

    Linear optics of a beam with a waist in front of the quadrupole, 1 mm wide with 1 mrad.
    """
    f, length = inputs["f"], inputs["length"]
    sigma = np.diag([1e-3, 1e-3]) ** 2
    quadrupole = np.array([[1.0, 0.0], [-1.0 / f, 1.0]])
    drift = np.array([[1.0, length], [0.0, 1.0]])
    transfer = drift @ quadrupole
    at_screen = transfer @ sigma @ transfer.T
    size = float(np.sqrt(at_screen[0, 0]))
    place = np.linspace(-10e-3, 10e-3, PIXELS)  # m
    profile = np.exp(-0.5 * (place / size) ** 2)
    return {
        "size": size,
        "sigma": at_screen,
        "image": np.outer(profile, profile),  # 1.28 MB: goes to a blob
        "name": f"f = {f:g} m, {length:g} m",
    }
