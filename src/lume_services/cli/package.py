"""``lume-services package``: what is in a package with a model, and whether it can be deployed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lume_services.cli._output import AsJson, counted, error_line, note, print_json, print_table

if TYPE_CHECKING:
    from lume_services.environment.package import Package

__all__ = ["app"]

app = typer.Typer(help="Check a package with a model.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Check a package with a model."""


@app.command(epilog="Example: `lume-services package check ./my_model`")
def check(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An sdist or wheel, its https address, or a folder of which an sdist is built.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Tell everything that would stop the deployment of a package; exit code 2 when there is any.

    Nothing of an sdist or wheel is run. A folder is built, which runs its own build code.
    """
    from lume_services.environment.checking import check as checked
    from lume_services.settings import EnvironmentConfig, LUMEServicesSettings

    settings = LUMEServicesSettings()
    environment = settings.environment or EnvironmentConfig()
    package, problems = checked(
        source,
        token=environment.token,
        tmp=environment.tmp_directory,
        isolated=bool(settings.prefect and settings.prefect.isolated),
    )
    if as_json:
        print_json({"package": asdict(package) if package else None, "problems": problems})
    else:
        if package:
            print_table(("Package", ""), _facts(package))
        for problem in problems:
            error_line(problem)
        if problems:
            note(f"{counted(len(problems), 'problem')} would stop its deployment.")
        else:
            note("Nothing that can be seen without installing it would stop its deployment.")
    if problems:
        raise typer.Exit(2)


def _facts(package: Package) -> list[tuple[str, object]]:
    flow = "written for Prefect 1: not used" if package.prefect1_flow else package.flow
    return [
        ("Name", package.name),
        ("Version", package.version),
        ("Imported as", package.import_name),
        ("Model", package.model),
        ("Flow", flow),
        ("Python", package.requires_python),
        ("Needs of pip", ", ".join(package.requirements)),
        ("Needs of conda", ", ".join(package.conda)),
        ("Channels", ", ".join(package.channels)),
        ("Image", package.image),
        ("File", package.filename),
        ("Size", f"{package.size} bytes"),
        ("sha256", package.sha256),
    ]
