"""``lume-services config``: what is configured, and by which variables."""

from __future__ import annotations

from typing import Annotated

import typer

from lume_services.cli._output import AsJson, print_json, print_table

__all__ = ["app"]

app = typer.Typer(
    help="See the configuration and the variables it is made of.", no_args_is_help=True
)


@app.command(epilog="Example: `lume-services config show`")
def show(as_json: AsJson = False) -> None:
    """Show the settings in force; passwords are masked."""
    from lume_services.config import LUMEServicesSettings

    settings = LUMEServicesSettings().masked()
    if as_json:
        print_json(settings)
    else:
        print_table(("Variable", "Value"), settings.items())


@app.command(epilog="Example: `lume-services config env > lume.env`, then `LUME_ENV_FILE=lume.env`")
def env(
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Print passwords as well, in clear.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the variables that rebuild this configuration elsewhere."""
    from lume_services.config import LUMEServicesSettings

    environment = LUMEServicesSettings().to_environment(include_secrets=secrets)
    if as_json:
        print_json(environment)
        return
    for name, value in environment.items():
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        typer.echo(f"{name}='{quoted}'")


@app.command(epilog="Example: `lume-services config variables --json`")
def variables(as_json: AsJson = False) -> None:
    """List every variable with its type, default and meaning."""
    from dataclasses import asdict

    from lume_services.config import get_env_vars

    listed = get_env_vars()
    if as_json:
        print_json([asdict(variable) for variable in listed])
        return
    print_table(
        ("Variable", "Type", "Default", "Meaning"),
        [(entry.name, entry.type, entry.default, entry.meaning) for entry in listed],
    )
