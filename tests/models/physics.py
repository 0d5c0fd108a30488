"""Models for the tests, in a module so that worker processes find them."""

from __future__ import annotations

from typing import Any

import numpy as np
from lume.actions import ActionModel, ReadOnlyActionMixin, WritableActionMixin
from lume.model import LUMEModel
from lume.staged_model import FinalParticlesMixIn, InitialParticlesMixIn, StagedModel
from lume.variables import IntVariable, NDVariable, ScalarVariable, Variable


class Quadrupole(LUMEModel):
    """Transfer matrix of a focusing quadrupole of length 0.5 m."""

    length = 0.5

    def __init__(self) -> None:
        self.k1 = 1.0
        self.slices = 1
        self.evaluations = 0

    @property
    def supported_variables(self) -> dict[str, Variable]:
        variables: list[Variable] = [
            ScalarVariable(
                name="QUAD:K1",
                description="Normalised gradient",
                default_value=1.0,
                value_range=(0.1, 10.0),
                unit="1/m^2",
            ),
            IntVariable(name="slices", default_value=1, value_range=(1, 100)),
            ScalarVariable(name="XCOR.VAL", description="EPICS name with a dot", default_value=0.0),
            NDVariable(name="matrix", shape=(2, 2), read_only=True),
            ScalarVariable(name="trace", read_only=True),
        ]
        return {variable.name: variable for variable in variables}

    def reset(self) -> None:
        self.k1 = 1.0

    def _set(self, values: dict[str, Any]) -> None:
        self.k1 = values["QUAD:K1"]
        self.slices = values["slices"]
        self.kick = values["XCOR.VAL"]
        self.evaluations += 1

    def _get(self, names: list[str]) -> dict[str, Any]:
        root = np.sqrt(self.k1)
        phase = root * self.length
        matrix = np.array(
            [[np.cos(phase), np.sin(phase) / root], [-root * np.sin(phase), np.cos(phase)]]
        )
        known = {
            "matrix": matrix,
            "trace": float(np.trace(matrix)),
            "QUAD:K1": self.k1,
            "slices": self.slices,
            "XCOR.VAL": 0.0,
        }
        return {name: known[name] for name in names}


class Surrogate:
    """An object with ``evaluate``, its variables in lists as lume-torch has them."""

    input_variables = (ScalarVariable(name="x", default_value=0.0, value_range=(-1.0, 1.0)),)
    output_variables = (ScalarVariable(name="y"),)

    def evaluate(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"y": inputs["x"] ** 2}


class Knob(WritableActionMixin, ScalarVariable):
    """A writable action variable without a default value."""

    def _get(self, simulator: Any) -> Any:
        return simulator[self.name]

    def _set(self, simulator: Any, value: Any) -> None:
        simulator[self.name] = value + 0.0


class Monitor(ReadOnlyActionMixin, ScalarVariable):
    """Reads twice the current."""

    def _get(self, simulator: Any) -> Any:
        return 2 * simulator["current"]


class Magnet(ActionModel):
    """An ActionModel, whose own ``reset`` writes None to knobs without a default."""

    def __init__(self) -> None:
        super().__init__(
            {"current": 3.0}, [Knob(name="current"), Monitor(name="field", read_only=True)]
        )


class Stage(LUMEModel, InitialParticlesMixIn, FinalParticlesMixIn):
    """One stage that multiplies what comes in; the beam is a number here."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.factor = 1.0
        self.incoming = 1.0
        self.outgoing = 1.0

    @property
    def initial_particles(self) -> Any:
        return self.incoming

    @initial_particles.setter
    def initial_particles(self, value: Any) -> None:
        self.incoming = value

    @property
    def final_particles(self) -> Any:
        return self.outgoing

    @property
    def supported_variables(self) -> dict[str, Variable]:
        return {
            f"{self.name}_factor": ScalarVariable(name=f"{self.name}_factor", default_value=1.0),
            f"{self.name}_out": ScalarVariable(name=f"{self.name}_out", read_only=True),
        }

    def reset(self) -> None:
        self.factor = 1.0

    def _set(self, values: dict[str, Any]) -> None:
        self.factor = values.get(f"{self.name}_factor", self.factor)
        self.outgoing = self.incoming * self.factor

    def _get(self, names: list[str]) -> dict[str, Any]:
        known = {f"{self.name}_factor": self.factor, f"{self.name}_out": self.outgoing}
        return {name: known[name] for name in names}


def linac() -> StagedModel:
    return StagedModel([Stage("gun"), Stage("linac")])


LINAC = linac()
