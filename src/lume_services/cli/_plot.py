"""The picture that ``lume-services results plot`` draws."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lume_services.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_columns"]


def plot_columns(
    frame: pd.DataFrame, x: str, y: Sequence[str], output: Path, *, units: Mapping[str, str]
) -> None:
    """Plot columns of a table of results over another, one panel for each.

    Args:
        frame: A table as ``Model.get_results_df`` gives it.
        x: Name of an input or output, with or without ``inputs.`` or ``outputs.`` before it.
        y: Names of what is plotted over it.
        output: The picture; its suffix says of what kind.
        units: Units of inputs and outputs, by name.

    Raises:
        InvalidInputError: A name is not that of a column of numbers, or the picture cannot be
            written.
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("Plots need matplotlib: pip install matplotlib") from error

    if frame.empty:
        raise InvalidInputError("There are no results to plot")
    over = _column(frame, x)
    ordered = frame.sort_values(over)
    # A line would jump up and down between results that differ in another input.
    style = "o-" if ordered[over].is_unique else "o"
    figure = Figure(figsize=(7, 1.2 + 2.6 * len(y)), dpi=120, layout="constrained")
    panels = figure.subplots(len(y), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, y, strict=True):
        column = _column(frame, name)
        axes.plot(ordered[over], ordered[column], style, color="#1f5fa8", markersize=4)
        axes.set_ylabel(_label(column, units))
        axes.grid(alpha=0.25)
    panels[-1].set_xlabel(_label(over, units))
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{output} cannot be written: {error}") from None


def _label(column: str, units: Mapping[str, str]) -> str:
    name = column.partition(".")[2]
    return f"{name} ({units[name]})" if name in units else name


def _column(frame: pd.DataFrame, name: str) -> str:
    numbers = [str(column) for column in frame.select_dtypes("number").columns]
    for column in (name, f"inputs.{name}", f"outputs.{name}"):
        if column in numbers:
            return column
    if {f"inputs.{name}", f"outputs.{name}"} & set(map(str, frame.columns)):
        raise InvalidInputError(f"{name!r} is not a number in each result, so it cannot be plotted")
    known = [column.partition(".")[2] for column in numbers]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known)}"
    raise InvalidInputError(f"No number is called {name!r} in these results; {hint}")
