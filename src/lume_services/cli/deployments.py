"""``lume-services deployments``: the versions of a model."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from lume_services.cli._output import AsJson, counted, note, print_json, print_table
from lume_services.cli.models import ModelName, deployments_of

if TYPE_CHECKING:
    from lume_services.environment.package import Package

__all__ = ["app"]

app = typer.Typer(
    help="Store the versions of a model, list them and choose the live one.", no_args_is_help=True
)

_LISTED = ("deployment_id", "version", "is_live", "deploy_date", "entry_point")
_SHOWN = (*_LISTED, "kind", "source", "sha256", "image", "package_import_name")


@app.command(
    epilog="Example: `lume-services deployments store dist/ring-1.0.tar.gz --model ring "
    "--project rings`"
)
def store(
    source: Annotated[
        str,
        typer.Argument(help="An sdist or wheel, by its path or URL, or the folder of a checkout."),
    ],
    model: Annotated[str, typer.Option(metavar="MODEL", help="The model's id or description.")],
    project: Annotated[
        str, typer.Option(help="The project that its flows and results belong to.")
    ] = "local",
    live: Annotated[
        bool, typer.Option("--live/--not-live", help="Whether it becomes the version in use.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is in the package, and do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Store a package as a version of a model, in an environment of its own."""
    from lume_services.config import configure
    from lume_services.models import Model

    configure()
    found = Model.find(model)
    if dry_run:
        from lume_services.models._storing import inspect_source

        _print_plan(
            inspect_source(source), repr(found.description), project, live=live, as_json=as_json
        )
        return
    deployment = found.store_deployment(source, project, live, tell=note)
    if as_json:
        print_json({name: getattr(deployment, name) for name in _SHOWN})
    else:
        state = "is live" if deployment.is_live else "is stored and not live"
        note(f"Version {deployment.version} of {found.description!r} {state}.")
        typer.echo(deployment.deployment_id)


@app.command("list", epilog="Example: `lume-services deployments list injector`")
def list_deployments(model: ModelName, as_json: AsJson = False) -> None:
    """List the versions of a model."""
    from lume_services.config import configure
    from lume_services.models import Model

    configure()
    found = deployments_of(Model.find(model).model_id)
    if as_json:
        print_json([{name: getattr(entry, name) for name in _LISTED} for entry in found])
        return
    print_table(
        ("Id", "Version", "Live", "Stored", "Loaded from"),
        [[getattr(entry, name) for name in _LISTED] for entry in found],
    )


Version = Annotated[
    str | None,
    typer.Argument(help="The version; the live one, or else the latest, when not given."),
]


@app.command(epilog="Example: `lume-services deployments show injector 1.2.0`")
def show(model: ModelName, version: Version = None, as_json: AsJson = False) -> None:
    """Show where a version came from, what it runs with, and its inputs and outputs."""
    from lume_services.config import configure, context
    from lume_services.errors import FlowNotFoundError
    from lume_services.models import Model
    from lume_services.models._packaged import environment_folder
    from lume_services.variables import describe

    configure()
    deployment = Model.find(model).load_deployment(version=version)
    facts = {name: getattr(deployment, name) for name in _SHOWN}
    facts["flows"] = []
    with suppress(FlowNotFoundError):
        registry = context.model_db_service()
        found = registry.get_flows(deployment_id=deployment.deployment_id)
        facts["flows"] = [flow.flow_name for flow in found]
    if deployment.environment is not None:
        facts["environment"] = str(environment_folder(deployment))
    if as_json:
        print_json(
            {**facts, "locked": deployment.environment, "variables": deployment.variables or {}}
        )
        return
    facts["flows"] = ", ".join(facts["flows"])
    print_table(
        ("Fact", "Value"),
        [(_label(name), fact) for name, fact in facts.items() if fact is not None],
    )
    print_table(
        ("Variable", "", "Default", "Range", "Unit", "Meaning"),
        [describe(name, variable) for name, variable in (deployment.variables or {}).items()],
    )
    if deployment.environment is not None:
        packages = deployment.environment.get("packages", ())
        note(
            f"It runs with Python {deployment.environment['python']} and "
            f"{counted(len(packages), 'package')}, which --json lists."
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


@app.command(epilog="Example: `lume-services deployments rollback injector`")
def rollback(model: ModelName) -> None:
    """Make the version before the live one live."""
    from lume_services.config import configure, context
    from lume_services.errors import DeploymentNotFoundError
    from lume_services.models import Model

    configure()
    found = Model.find(model)
    registry = context.model_db_service()
    versions = deployments_of(found.model_id)  # the latest first
    live = registry.get_live_deployment(model_id=found.model_id)
    after_live = versions.index(live) + 1
    if after_live == len(versions):
        raise DeploymentNotFoundError(
            f"There is no version of {found.description!r} before {live.version}, which is live."
        )
    before = registry.promote(versions[after_live].deployment_id)
    note(f"Version {before.version} of {found.description!r} is live, in place of {live.version}.")


@app.command(epilog="Example: `lume-services deployments prune`")
def prune(as_json: AsJson = False) -> None:
    """Remove environments that no deployment of the registry needs, and what was left unfinished.

    Nothing is lost: an environment is made again when it is needed. Those in use stay.
    """
    from lume_services.config import configure
    from lume_services.models._packaged import prune_environments

    configure()
    removed = prune_environments()
    if as_json:
        print_json(removed)
        return
    for folder in removed:
        note(f"Removed {folder}")
    note(f"{counted(len(removed), 'folder')} removed")


def _print_plan(package: Package, model: str, project: str, *, live: bool, as_json: bool) -> None:
    from dataclasses import asdict

    facts = {
        name: value for name, value in asdict(package).items() if value not in (None, (), False)
    }
    if as_json:
        print_json(facts)
        return
    print_table(
        ("Fact", "Value"),
        [
            (_label(name), "  ".join(value) if isinstance(value, tuple) else value)
            for name, value in facts.items()
        ],
    )
    if package.prefect1_flow:
        from lume_services.models._storing import PREFECT1

        note(f"Its flow is left out: {PREFECT1}")
    what = ["make its environment, unless there is one with the same", "load it there once"]
    what.append(f"store it as version {package.version} of {model} in project {project!r}")
    if live:
        what.append("make it live")
    note(f"To be done: {'; '.join(what)}. Nothing was done.")


def _label(name: str) -> str:
    """What a fact is called for people."""
    words = name.removesuffix("_id").replace("_", " ").replace("is live", "live")
    return words if words == "sha256" else words.capitalize()
