"""The points of a sweep: what to evaluate a model at."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["grid", "points_of"]


def grid(**axes: Any) -> list[dict[str, Any]]:
    """Every combination of the values of some inputs; the last input varies fastest.

    Args:
        axes: Values of each input, a sequence or an array; a single value is one that all points
            share. A name that is not a Python name is given by ``grid(**{"QUAD:A.K1": values})``.

    Returns:
        One dictionary a point.

    Examples:
        >>> grid(x=[1, 2], y=[0.5])
        [{'x': 1, 'y': 0.5}, {'x': 2, 'y': 0.5}]
    """
    values = [
        [axis] if isinstance(axis, str | bytes) or np.ndim(axis) == 0 else list(axis)
        for axis in axes.values()
    ]
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*values)]


def points_of(points: Iterable[Mapping[str, Any]] | pd.DataFrame) -> list[dict[str, Any]]:
    """The points as dictionaries.

    Args:
        points: Dictionaries, or a frame with a row a point and a column an input. The columns
            ``inputs.x`` of a frame of results are taken as ``x``, and its other columns left out,
            so that what was run once is easily run again.

    Raises:
        InvalidInputError: They are something else.
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(points, pandas.DataFrame):
        table = points.rename(columns=str)
        inputs = [name for name in table.columns if name.startswith("inputs.")]
        if inputs:
            table = table[inputs].rename(columns=lambda name: name.removeprefix("inputs."))
        return [dict(row) for row in table.to_dict("records")]
    if isinstance(points, Mapping | str) or not isinstance(points, Iterable):
        raise InvalidInputError(
            "points are dictionaries (a list of them), a DataFrame, or grid(x=[…], y=[…]); "
            f"this is a {type(points).__name__}"
        )
    listed = []
    for number, point in enumerate(points):
        if not isinstance(point, Mapping):
            raise InvalidInputError(f"point {number} is a {type(point).__name__}, not a dictionary")
        listed.append(dict(point))
    return listed
