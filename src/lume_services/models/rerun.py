"""Computing a result again, to see whether the same comes out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from lume_services.errors import InvalidInputError, ModelFailedError
from lume_services.models.model import Model
from lume_services.results import Result
from lume_services.serialization import canonical_hash, encode

__all__ = ["Difference", "rerun"]


@dataclass(frozen=True)
class Difference:
    """An output that did not come out as it was recorded."""

    name: str
    recorded: Any
    """None where it was not among the outputs then."""
    now: Any
    """None where it is not among the outputs now."""
    largest: float | None
    """The largest absolute difference of numbers, in the unit of the output; None where they
    cannot be compared."""


def rerun(result: Result) -> list[Difference]:
    """Evaluate the version that gave a result at its inputs, and compare, bit by bit.

    Nothing is recorded.

    Args:
        result: One that succeeded.

    Returns:
        The outputs that differ, in the order of their names; none where all is the same.

    Raises:
        InvalidInputError: The result is of no model, or of an evaluation that failed.
        FlowNotFoundError: The registry does not know the flow that it was recorded under.
        ModelLoadError: The version cannot be loaded here.
        ModelFailedError: It raises now.
    """
    if result.status != "success":
        raise InvalidInputError(f"The result {result.id} is of a failure: there are no outputs.")
    if result.flow_id is None:
        raise InvalidInputError(f"The result {result.id} does not say which flow it is of.")
    evaluator = Model.of_flow(result.flow_id)._deployed.evaluator
    outcome = evaluator.outcome(evaluator.check(result.inputs))
    if outcome.error is not None:
        raise ModelFailedError(
            f"It fails now: {outcome.error['type']}: {outcome.error['message']}"
        ) from outcome.exception
    recorded = dict(result.outputs)
    names = sorted({*recorded, *outcome.outputs})
    found = (_difference(name, recorded.get(name), outcome.outputs.get(name)) for name in names)
    return [one for one in found if one is not None]


def _difference(name: str, recorded: Any, now: Any) -> Difference | None:
    if canonical_hash(encode(recorded, path=name)) == canonical_hash(encode(now, path=name)):
        return None
    largest = None
    with suppress(TypeError, ValueError):  # no numbers
        new, old = np.asarray(now, dtype=complex), np.asarray(recorded, dtype=complex)
        if new.shape == old.shape and new.size:
            largest = float(np.max(np.abs(new - old)))
    return Difference(name, recorded, now, largest)
