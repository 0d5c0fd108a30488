"""The ESRF-EBS storage ring as a ``LUMEModel``, computed with pyAT.

The lattice is the one that pyAT ships, ``hmba.mat``: one of the 32 equal cells of the ring, a
hybrid seven-bend achromat, of 26.4 m at 6 GeV. Its optics are those of P. Raimondi et al.,
*The Extremely Brilliant Source storage ring of the European Synchrotron Radiation Facility*,
Commun. Phys. 6, 82 (2023).
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import at
import numpy as np
from lume.model import LUMEModel
from lume.variables import NDVariable, ScalarVariable, Variable

__all__ = ["FAMILIES", "StorageRing"]

FAMILIES = ("QF1", "QD2", "QD3", "QF4", "QD5", "QF6", "QF8")
"""The quadrupole families of a cell; the magnets of a family share one strength."""

# Beyond this the cell has no stable optics for most combinations.
_RANGE = 0.05


class StorageRing(LUMEModel):
    """Linear optics of one cell of the ring for given quadrupole strengths.

    Inputs are the normalised gradients ``K1`` of the families, in 1/m², each within 5 % of its
    nominal value. Outputs are the fractional tunes and the chromaticities of the cell, and along
    it, at positions ``s`` in m, the beta functions in m and the horizontal dispersion in m.
    """

    def __init__(self) -> None:
        cell = at.load_lattice(str(files("machine_data") / "hmba.mat"))
        cell.disable_6d()  # optics of the transverse planes; the cavity plays no part
        # In pieces of 0.1 m the beta functions are smooth curves also inside drifts and magnets.
        self._cell = cell.slice(size=0.1)
        self._magnets = {
            family: [element for element in self._cell if element.FamName.startswith(family)]
            for family in FAMILIES
        }
        self._nominal = {family: float(self._magnets[family][0].K) for family in FAMILIES}
        self._outputs: dict[str, Any] = {}
        self._compute()

    @property
    def supported_variables(self) -> dict[str, Variable]:
        """Seven quadrupole strengths in, optics out."""
        strengths: list[Variable] = [
            ScalarVariable(
                name=family,
                description=f"Normalised gradient of the {family} quadrupoles",
                default_value=k1,
                value_range=tuple(sorted((k1 * (1 - _RANGE), k1 * (1 + _RANGE)))),
                unit="1/m^2",
            )
            for family, k1 in self._nominal.items()
        ]
        numbers: list[Variable] = [
            ScalarVariable(name=name, description=text, read_only=True)
            for name, text in (
                ("tune_x", "Fractional horizontal tune of the cell"),
                ("tune_y", "Fractional vertical tune of the cell"),
                ("chromaticity_x", "Horizontal chromaticity of the cell"),
                ("chromaticity_y", "Vertical chromaticity of the cell"),
            )
        ]
        curves: list[Variable] = [
            NDVariable(
                name=name,
                description=text,
                shape=(len(self._cell) + 1,),
                unit="m",
                read_only=True,
            )
            for name, text in (
                ("s", "Position along the cell"),
                ("beta_x", "Horizontal beta function"),
                ("beta_y", "Vertical beta function"),
                ("dispersion_x", "Horizontal dispersion"),
            )
        ]
        return {variable.name: variable for variable in (*strengths, *numbers, *curves)}

    def reset(self) -> None:
        """Set every family to its nominal strength."""
        self._set(self._nominal)

    def magnets(self) -> list[tuple[str, float, float]]:
        """The magnets along the cell: kind, start and length in m."""
        found = []
        for element, start in zip(
            self._cell, self._cell.get_s_pos(range(len(self._cell))), strict=True
        ):
            if isinstance(element, at.Quadrupole):
                kind = "focusing" if element.K > 0 else "defocusing"
            elif isinstance(element, at.Dipole):
                kind = "dipole"
            elif isinstance(element, at.Sextupole):
                kind = "sextupole"
            else:
                continue
            found.append((kind, float(start), float(element.Length)))
        return found

    def _set(self, values: dict[str, Any]) -> None:
        for family, k1 in values.items():
            for magnet in self._magnets[family]:
                magnet.K = k1
        self._outputs = {}

    def _get(self, names: list[str]) -> dict[str, Any]:
        if not self._outputs:
            self._compute()
        strengths = {family: float(magnets[0].K) for family, magnets in self._magnets.items()}
        return {name: {**strengths, **self._outputs}[name] for name in names}

    def _compute(self) -> None:
        _, ring, elements = self._cell.get_optics(at.All, get_chrom=True)
        if not np.all(np.isfinite(ring.tune)):
            raise ValueError("these strengths give no stable optics")
        self._outputs = {
            "tune_x": float(ring.tune[0]),
            "tune_y": float(ring.tune[1]),
            "chromaticity_x": float(ring.chromaticity[0]),
            "chromaticity_y": float(ring.chromaticity[1]),
            "s": np.array(elements.s_pos),
            "beta_x": np.array(elements.beta[:, 0]),
            "beta_y": np.array(elements.beta[:, 1]),
            "dispersion_x": np.array(elements.dispersion[:, 0]),
        }
