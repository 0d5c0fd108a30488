"""``lume-services models``: the models of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lume_services.cli._output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from lume_services.services.models.db.schema import Deployment

__all__ = ["ModelName", "app", "deployments_of"]

app = typer.Typer(help="List, show and create models.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="The model's id or description.")]

_IDENTITY = ("model_id", "description", "author", "laboratory", "facility", "beampath")


@app.command("list", epilog="Example: `lume-services models list --json`")
def list_models(as_json: AsJson = False) -> None:
    """List the models of the registry."""
    from lume_services.config import configure, context
    from lume_services.errors import ModelNotFoundError

    configure()
    try:
        rows = context.model_db_service().get_models()
    except ModelNotFoundError:
        rows = []
    if as_json:
        print_json([{name: getattr(row, name) for name in _IDENTITY} for row in rows])
        return
    print_table(
        ("Id", "Description", "Author", "Laboratory", "Facility", "Beampath"),
        [[getattr(row, name) for name in _IDENTITY] for row in rows],
    )


@app.command(epilog="Example: `lume-services models show 1`")
def show(model: ModelName, as_json: AsJson = False) -> None:
    """Show a model: who made it, its versions, its inputs and outputs."""
    from lume_services.config import configure
    from lume_services.models import Model
    from lume_services.variables import describe

    configure()
    found = Model.find(model)
    deployments = deployments_of(found.model_id)
    variables = found.variables if deployments else {}
    if as_json:
        shown = {name: getattr(found, name) for name in _IDENTITY}
        versions = [
            {"version": entry.version, "is_live": entry.is_live, "entry_point": entry.entry_point}
            for entry in deployments
        ]
        print_json({**shown, "deployments": versions, "variables": variables})
        return
    print_table(
        ("Id", "Description", "Author", "Laboratory", "Facility", "Beampath"),
        [[getattr(found, name) for name in _IDENTITY]],
    )
    print_table(
        ("Version", "Live", "Stored", "Loaded from"),
        [
            (entry.version, entry.is_live, entry.deploy_date, entry.entry_point or "this process")
            for entry in deployments
        ],
    )
    print_table(
        ("Variable", "", "Default", "Range", "Unit", "Meaning"),
        [describe(name, variable) for name, variable in variables.items()],
    )


@app.command(
    epilog="Example: `lume-services models create --description injector --laboratory SLAC`"
)
def create(
    description: Annotated[str, typer.Option(help="What it is.")],
    author: Annotated[str, typer.Option(help="Who wrote it.")] = "",
    laboratory: Annotated[str, typer.Option(help="Where it is used.")] = "",
    facility: Annotated[str, typer.Option(help="The machine it describes.")] = "",
    beampath: Annotated[str, typer.Option(help="The part of the machine.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create a model, or find the one of that identity; prints its id."""
    from lume_services.config import configure
    from lume_services.models import Model

    configure()
    made = Model.create_model(
        description=description,
        author=author,
        laboratory=laboratory,
        facility=facility,
        beampath=beampath,
    )
    if as_json:
        print_json({name: getattr(made, name) for name in _IDENTITY})
    else:
        typer.echo(made.model_id)


def deployments_of(model_id: int) -> list[Deployment]:
    """The versions of a model, the latest first; none when nothing is registered yet."""
    from lume_services.config import context
    from lume_services.errors import DeploymentNotFoundError

    try:
        return context.model_db_service().get_deployments(model_id=model_id)
    except DeploymentNotFoundError:
        return []
