"""``lume-services config``: what is configured, and by which variables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lume_services.cli._output import AsJson, error_line, print_json, print_table

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
    from lume_services.config import get_env_vars

    listed = get_env_vars()
    if as_json:
        print_json([asdict(variable) for variable in listed])
        return
    print_table(
        ("Variable", "Type", "Default", "Meaning"),
        [(entry.name, entry.type, entry.default, entry.meaning) for entry in listed],
    )


@app.command(epilog="Example: `lume-services config check`")
def check(as_json: AsJson = False) -> None:
    """Ask every service whether it answers and can be written to; exit code 1 when one does not.

    It stores something in each and takes it away again.
    """
    from lume_services.checks import check_services
    from lume_services.cli._stores import tell_of_waiting
    from lume_services.config import configure

    configure()
    checks = check_services()
    if as_json:
        print_json([{**asdict(check), "ok": check.ok} for check in checks])
    else:
        print_table(
            ("Service", "Answers", "Version", "ms", "Schema", "Writable", "Where"),
            [
                (
                    check.service,
                    check.reachable,
                    check.version,
                    check.latency_ms,
                    check.schema,
                    check.writable,
                    check.address,
                )
                for check in checks
            ],
            droppable=True,
        )
        for check in checks:
            if not check.ok:
                error_line(f"{check.service}: {check.problem}")
        tell_of_waiting()
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
