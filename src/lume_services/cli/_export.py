"""Tables of results as files: every value in full, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lume_services.errors import InvalidInputError
from lume_services.services._atomic import replacing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export_table"]


def export_table(frame: pd.DataFrame, file: Path) -> list[str]:
    """Write a table of results, whole or not at all.

    Arrays are lists of numbers, in a CSV file as JSON; frames are lists of values by column.

    Args:
        frame: A table as ``Model.get_results_df`` gives it.
        file: ``.csv``, ``.parquet`` or ``.json``.

    Returns:
        The columns that were left out, as such files cannot hold their values.

    Raises:
        InvalidInputError: The name has another ending, or the file cannot be written.
    """
    if file.suffix not in _WRITERS:
        raise InvalidInputError(f"{file}: the name ends in one of {', '.join(_WRITERS)}")
    table = frame.copy(deep=False)
    left_out = []
    for name in [name for name in map(str, frame.columns) if frame[name].dtype == object]:
        try:
            table[name] = frame[name].map(_plain)
        except TypeError:
            left_out.append(name)
    table = table.drop(columns=left_out)
    try:
        with replacing(file) as new:
            _WRITERS[file.suffix](table, new)
    except (OSError, ValueError) as error:  # ValueError: pyarrow's, for a column of several kinds
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(f"{file} cannot be written: {reason}") from None
    return left_out


def _plain(value: Any) -> Any:
    """What JSON can hold.

    Raises:
        TypeError: It cannot hold this.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        return _plain(value.to_dict("list"))
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} is not for a table")


def _to_csv(table: pd.DataFrame, file: Path) -> None:
    texts = {
        name: table[name].map(lambda value: json.dumps(value) if _nested(value) else value)
        for name in table.columns
        if table[name].dtype == object
    }
    table.assign(**texts).to_csv(file, index=False)


def _to_parquet(table: pd.DataFrame, file: Path) -> None:
    table.to_parquet(file, index=False)


def _to_json(table: pd.DataFrame, file: Path) -> None:
    from lume_services.cli._output import to_json

    file.write_text(to_json(table.to_dict("records")), encoding="utf-8")


def _nested(value: Any) -> bool:
    return isinstance(value, list | dict)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": _to_csv,
    ".parquet": _to_parquet,
    ".json": _to_json,
}
