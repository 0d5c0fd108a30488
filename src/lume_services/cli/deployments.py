"""``lume-services deployments``: the versions of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from lume_services.cli._output import AsJson, note, print_json, print_table
from lume_services.cli.models import ModelName, deployments_of

__all__ = ["app"]

app = typer.Typer(
    help="List the versions of a model and choose the live one.", no_args_is_help=True
)


@app.command("list", epilog="Example: `lume-services deployments list injector`")
def list_deployments(model: ModelName, as_json: AsJson = False) -> None:
    """List the versions of a model."""
    from lume_services.config import configure
    from lume_services.models import Model

    configure()
    found = deployments_of(Model.find(model).model_id)
    names = ("deployment_id", "version", "is_live", "deploy_date", "entry_point")
    if as_json:
        print_json([{name: getattr(entry, name) for name in names} for entry in found])
        return
    print_table(
        ("Id", "Version", "Live", "Stored", "Loaded from"),
        [[getattr(entry, name) for name in names] for entry in found],
    )


@app.command(epilog="Example: `lume-services deployments promote injector 1.2.0`")
def promote(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="The version to make live.")],
) -> None:
    """Make a version the live one: the one that is used when none is named."""
    from lume_services.config import configure, context
    from lume_services.models import Model

    configure()
    found = Model.find(model)
    registry = context.model_db_service()
    deployment = registry.get_deployment(model_id=found.model_id, version=version)
    registry.promote(deployment.deployment_id)
    note(f"Version {deployment.version} of {found.description!r} is live.")
