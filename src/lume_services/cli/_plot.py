"""The picture that ``lume-services results plot`` draws."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lume_services.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_columns"]


def plot_columns(frame: pd.DataFrame, x: str, y: Sequence[str], output: Path) -> None:
    """Plot columns of a table of results over another, one panel for each.

    Args:
        frame: A table as ``Model.get_results_df`` gives it.
        x: Name of an input or output, with or without ``inputs.`` or ``outputs.`` before it.
        y: Names of what is plotted over it.
        output: The picture; its suffix says of what kind.

    Raises:
        InvalidInputError: A name is not that of a column of numbers, or the picture cannot be
            written.
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("Plots need matplotlib: pip install matplotlib") from error

    over = _column(frame, x)
    ordered = frame.sort_values(over)
    figure = Figure(figsize=(7, 1.2 + 2.6 * len(y)), dpi=120, layout="constrained")
    panels = figure.subplots(len(y), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, y, strict=True):
        column = _column(frame, name)
        axes.plot(ordered[over], ordered[column], "o-", color="#1f5fa8", markersize=4)
        axes.set_ylabel(column.partition(".")[2])
        axes.grid(alpha=0.25)
    panels[-1].set_xlabel(over.partition(".")[2])
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{output} cannot be written: {error}") from None


def _column(frame: pd.DataFrame, name: str) -> str:
    numbers = [str(column) for column in frame.select_dtypes("number").columns]
    for column in (name, f"inputs.{name}", f"outputs.{name}"):
        if column in numbers:
            return column
    known = [column.partition(".")[2] for column in numbers]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known)}"
    raise InvalidInputError(f"No number is called {name!r} in these results; {hint}")
