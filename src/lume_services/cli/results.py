"""``lume-services results``: find, show, export and plot what was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lume_services.cli._output import (
    AsJson,
    as_plain,
    counted,
    note,
    print_json,
    print_table,
    print_values,
    short,
)
from lume_services.cli._stores import tell_of_waiting
from lume_services.cli.models import ModelName
from lume_services.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

    from lume_services.results import Result

__all__ = ["app"]

app = typer.Typer(help="Find, show, export, plot and move recorded results.", no_args_is_help=True)

Query = Annotated[
    str | None,
    typer.Option(help='MongoDB query as JSON: `{"inputs.x": {"$gt": 1}, "status": "success"}`.'),
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, the newest first.")]
_NEWEST_FIRST = [("date_modified", -1)]
_LAST_CHARACTER = "\U0010ffff"

AllVersions = Annotated[
    bool, typer.Option("--all-deployments", help="Results of every version, not just one.")
]


@app.command("list", epilog="Example: `lume-services results list injector --limit 10`")
def list_results(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="The model's id or description; all when not given."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Results of this project, whatever the model.")
    ] = None,
    query: Query = None,
    limit: Limit = 20,
    all_deployments: AllVersions = False,
    as_json: AsJson = False,
) -> None:
    """List the results of a model, of a project, or all, the newest first."""
    if model is None:
        frame = _of_project(project, query, limit)
    elif project is None:
        frame = _frame(model, query, limit, all_deployments)
    else:
        raise InvalidInputError("Give MODEL or --project, not both")
    if as_json:
        print_json(frame.to_dict("records"))
        return
    columns = {"id": frame["id"].str[:16]}
    same = []
    left_out = []
    for name in map(str, frame.columns):
        if name in ("id", "flow_id"):
            continue
        if not _is_plain(frame[name]):
            left_out.append(_short(name))
            continue
        heading = _short(name) if _short(name) not in columns else name
        if len(frame) > 1 and name != "date_modified" and frame[name].nunique(dropna=False) == 1:
            same.append(f"{heading}={short(frame[name].iloc[0])}")
        else:
            columns[heading] = frame[name]
    print_table(list(columns), zip(*columns.values(), strict=True), droppable=True)
    if same:
        note(f"In all of them: {', '.join(same)}")
    if left_out:
        note(f"Not in the table: {', '.join(left_out)}")
    if len(frame):
        found = counted(len(frame), "result")
        if len(frame) == limit:
            found = f"The newest {found}; others with --limit"
        note(f"{found}. Everything of one: lume-services results show ID")
    else:
        note("No results.")
    tell_of_waiting()


@app.command(epilog="Example: `lume-services results show 5f0c`")
def show(
    result_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how that begins.")],
    as_json: AsJson = False,
) -> None:
    """Show one result: inputs, outputs, and where, when and with what it was made."""
    from lume_services.config import configure

    configure()
    result = _found(result_id)
    if as_json:
        print_json(as_plain(result))
        return
    if result.error is not None:
        note(f"Failed with {result.error['type']}: {result.error['message']}")
    print_values(result)
    facts = as_plain(result)
    for name in ("inputs", "outputs"):
        facts.pop(name)
    print_table(("Fact", "Value"), [(name, value) for name, value in _flat(facts)])


@app.command(epilog="Example: `lume-services results rerun 5f0c`")
def rerun(
    result_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how that begins.")],
    as_json: AsJson = False,
) -> None:
    """Compute a result again, by the version that gave it, and say what differs.

    Nothing is recorded. The exit code is 1 when something differs.
    """
    from dataclasses import asdict

    from lume_services.config import configure
    from lume_services.models import rerun as computed_again

    configure()
    result = _found(result_id)
    differences = computed_again(result)
    if as_json:
        print_json({"id": result.id, "differences": [asdict(one) for one in differences]})
    elif differences:
        print_table(
            ("Output", "Recorded", "Now", "Largest difference"),
            [(one.name, short(one.recorded), short(one.now), one.largest) for one in differences],
        )
        note(f"{counted(len(differences), 'output')} of {len(result.outputs)} differ.")
    else:
        note(f"All {counted(len(result.outputs), 'output')} are the same, bit by bit.")
    if differences:
        raise typer.Exit(1)


@app.command(epilog="Example: `lume-services results export injector scan.parquet`")
def export(
    model: ModelName,
    file: Annotated[Path, typer.Argument(help="Where to: `.csv`, `.parquet` or `.json`.")],
    query: Query = None,
    limit: Limit = None,
    all_deployments: AllVersions = False,
) -> None:
    """Write the results of a model to a table file, arrays in full."""
    from lume_services.cli._export import export_table

    frame = _frame(model, query, limit, all_deployments, large_values=True)
    left_out = export_table(frame, file)
    note(f"{counted(len(frame), 'result')} in {file}")
    if left_out:
        note(f"Left out, as a table cannot hold them: {', '.join(left_out)}")


@app.command(epilog="Example: `lume-services results plot injector solenoid emittance -o scan.png`")
def plot(
    model: ModelName,
    x: Annotated[str, typer.Argument(help="What to plot over: the name of an input or output.")],
    y: Annotated[list[str], typer.Argument(help="What to plot: one name or more.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The picture: `.png`, `.pdf` or `.svg`.")
    ] = Path("results.png"),
    query: Query = None,
    limit: Limit = None,
    all_deployments: AllVersions = False,
) -> None:
    """Plot results of a model over an input or output."""
    from lume_services.cli._plot import plot_columns

    frame = _frame(model, query, limit, all_deployments)
    plot_columns(frame, x, y, output, units=_units(model))
    note(f"{counted(len(frame), 'result')} in {output}")


def _found(result_id: str) -> Result:
    """The one result of that id, or of which only the beginning of the id is given."""
    from lume_services.config import context
    from lume_services.errors import AmbiguousError, ResultNotFoundError
    from lume_services.results import Result

    service = context.results_db_service()
    # Not a pattern: a range is what an index helps with.
    query = {"_id": {"$gte": result_id, "$lt": f"{result_id}{_LAST_CHARACTER}"}}
    found = [
        (collection, document["_id"])
        for collection in service.collections()
        for document in service.find(collection, query, ["_id"], limit=2)
    ]
    if len(found) > 1:
        raise AmbiguousError(f"Several results have an id that begins with {result_id!r}")
    document = service.find_one(found[0][0], {"_id": found[0][1]}) if found else None
    if document is None:
        raise ResultNotFoundError(f"No result has an id that begins with {result_id!r}")
    return Result.from_document(document, service.get_blob)


def _frame(
    model: str,
    query: str | None,
    limit: int | None,
    all_deployments: bool,
    large_values: bool = False,
) -> pd.DataFrame:
    from lume_services.config import configure
    from lume_services.errors import DeploymentNotFoundError
    from lume_services.models import Model
    from lume_services.results import frame

    parsed = _parsed(query)
    configure()
    try:
        return Model.find(model).get_results_df(
            query=parsed,
            sort=_NEWEST_FIRST,
            limit=limit,
            all_deployments=all_deployments,
            large_values=large_values,
        )
    except DeploymentNotFoundError:
        return frame([])


def _of_project(project: str | None, query: str | None, limit: int | None) -> pd.DataFrame:
    from lume_services.config import configure, context
    from lume_services.results import frame
    from lume_services.services.results.selection import Selection

    parsed = _parsed(query)
    configure()
    service = context.results_db_service()
    found = [
        document
        for collection in (service.collections() if project is None else [project])
        for document in service.find(collection, parsed, sort=_NEWEST_FIRST, limit=limit)
    ]
    newest = Selection(None, None, _NEWEST_FIRST, limit, 0).apply(iter(found))
    return frame(list(newest))


def _units(model: str) -> dict[str, str]:
    from lume_services.models import Model

    variables = Model.find(model).variables
    return {
        name: str(variable["unit"]) for name, variable in variables.items() if variable.get("unit")
    }


def _parsed(query: str | None) -> Any:
    try:
        return json.loads(query) if query else None
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"--query is not JSON: {error}") from None


def _short(column: str) -> str:
    if column == "date_modified":
        return "date (UTC)"
    return column.removeprefix("inputs.").removeprefix("outputs.")


def _is_plain(column: pd.Series[Any]) -> bool:
    """Whether all values of a column are such as fit into a cell."""
    return column.dtype != object or {*map(type, column)} <= {type(None), bool, int, float, str}


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((prefix + name, value))
    return rows
