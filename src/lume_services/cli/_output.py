"""What commands print: a table for people or JSON for programs, errors in one line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lume_services.errors import (
    AmbiguousError,
    ConfigurationError,
    InvalidInputError,
    LUMEServicesError,
    MissingFileError,
    NotFoundError,
    PackageError,
    SchemaError,
    UnsupportedQueryError,
)

if TYPE_CHECKING:
    from lume_services.results import Result

__all__ = [
    "AsJson",
    "as_plain",
    "counted",
    "error_line",
    "exit_code",
    "note",
    "notes_of",
    "print_json",
    "print_table",
    "print_values",
    "short",
    "to_json",
    "warning_line",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]

_USER_MISTAKES = (
    AmbiguousError,
    ConfigurationError,
    InvalidInputError,
    MissingFileError,
    NotFoundError,
    PackageError,
    SchemaError,
    UnsupportedQueryError,
)


def exit_code(error: LUMEServicesError) -> int:
    """2 for what the user can put right on the command line, 1 for what failed or is away."""
    is_away = isinstance(error, ConnectionError)  # or its address is wrong: nobody can tell
    return 2 if isinstance(error, _USER_MISTAKES) and not is_away else 1


def notes_of(error: Exception) -> list[str]:
    """What was added to an exception, without the traceback that it brings from elsewhere."""
    return [note for note in getattr(error, "__notes__", ()) if "Traceback (" not in note]


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(to_json(value))  # noqa: T201  # the command's answer


def to_json(value: Any) -> str:
    """Any value as JSON; NaN and infinities, which JSON has no word for, become null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, default=str)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, droppable: bool = False
) -> None:
    """Print a table; numbers stand to the right.

    Args:
        columns: The headings.
        rows: The cells of each row.
        droppable: Leave out the last columns that a narrow terminal has no room for, and say
            which, where long cells would otherwise be folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    listed = [list(row) for row in rows]
    cells = [[short(value) for value in row] for row in listed]
    widths = [
        max(map(len, (name, *(row[number] for row in cells)))) + 3
        for number, name in enumerate(columns)
    ]
    # In a file or a pipe a table is as wide as it needs to be.
    if not console.is_terminal:
        console = Console(width=max(sum(widths), 80))
    shown = len(columns)
    while droppable and shown > 1 and sum(widths[:shown]) > console.width:
        shown -= 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns[:shown]):
        values = [row[number] for row in listed if row[number] is not None]
        numeric = bool(values) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row[:shown]))
    console.print(table)
    if shown < len(columns):
        note(f"No room for {', '.join(columns[shown:])}: widen the terminal, or use --json.")


def as_plain(result: Result) -> dict[str, Any]:
    """Everything about a result, for JSON."""
    facts = {name: getattr(result, name) for name in type(result).model_fields}
    provenance = result.provenance
    return {
        "id": result.id,
        **facts,
        "provenance": None if provenance is None else provenance.model_dump(),
        "unique_hash": result.unique_hash,
        "inputs_hash": result.inputs_hash,
        "result_type_string": result.result_type_string,
    }


def print_values(result: Result) -> None:
    """Print inputs and outputs of a result as a table."""
    rows = [("in", name, value) for name, value in result.inputs.items()]
    rows += [("out", name, value) for name, value in result.outputs.items()]
    print_table(("", "Name", "Value"), rows)


def note(text: str) -> None:
    """Say something to a person that is not the command's answer."""
    print(text, file=sys.stderr)  # noqa: T201  # not the command's answer


def counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def error_line(message: str) -> None:
    """Print an error."""
    _styled("Error", "bold red", message)


def warning_line(message: str) -> None:
    """Print a warning."""
    _styled("Warning", "bold yellow", message)


def _styled(label: str, style: str, message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble((f"{label}: ", style), message))


def short(value: Any) -> str:
    """A value as a cell of a table shows it."""
    if getattr(value, "shape", None) == ():  # a number of numpy's
        value = value.item()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S"))
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
