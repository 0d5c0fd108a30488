"""``lume-services docker``: the image that jobs run in, and a whole stack on this machine."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lume_services.cli._output import AsJson, note, print_json, print_table, warning_line

__all__ = ["app"]

app = typer.Typer(
    help="Make the image that jobs run in; start a whole stack on this machine.",
    no_args_is_help=True,
)


Project = Annotated[
    str,
    typer.Option(help="The stack's name, where there are several."),
]
_PROJECT = "lume-services"


@app.callback()
def _group() -> None:
    """Make the image that jobs run in; start a whole stack on this machine."""


@app.command(epilog="Example: `lume-services docker build --with ./my_models`")
def build(
    packages: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="PACKAGE",
            help="What else to install, such as the package with your models: a requirement as pip "
            "takes it, a folder or a wheel. May be given several times.",
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(help="Its name; `lume-services:<version>`, which jobs use, when not given."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Image to build on, with Python and its venv; that of this Python when not given.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Folder or wheel of LUME-services; the one that was installed when not given.",
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Network of the build: `host` where it needs a proxy of it.")
    ] = None,
) -> None:
    """Build the image of jobs, with the versions of packages that are installed here."""
    from lume_services.docker import DEFAULT_IMAGE, build_image

    tag = tag or DEFAULT_IMAGE
    build_image(
        tag,
        base=base,
        source=source,
        packages=packages or (),
        network=network,
        tell=typer.echo,
    )
    note(f"Built {tag}.")


@app.command(epilog="Example: `lume-services docker start-services --persist`")
def start_services(
    persist: Annotated[
        bool,
        typer.Option(
            "--persist",
            help="Keep what is stored when the stack is stopped. It holds from then on.",
        ),
    ] = False,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            exists=True,
            dir_okay=False,
            help="A further compose file, which changes or adds to the packaged one. May be given "
            "several times; those of the last start are used when none is.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            help="Seconds in which all have to be healthy; fetching images does not count.",
        ),
    ] = 300,
    project: Project = _PROJECT,
) -> None:
    """Start databases, Prefect and a worker, wait until they are healthy, and make the tables.

    What runs already stays. Prints the variable to set; the rest is on the standard error, so that
    `eval "$(lume-services docker start-services)"` sets it.
    """
    from lume_services.docker import Stack

    stack = Stack(project)
    stack.start(persist=persist, files=files or (), timeout_s=timeout, tell=note)
    note(f"Prefect's pages: {stack.pages}")
    if stack.folder.persists:
        note("What is stored is kept when the stack is stopped.")
    else:
        note(
            "`lume-services docker stop` will ask whether to delete what is stored. To have it "
            "kept, now or later: `lume-services docker start-services --persist`"
        )
    if hidden := stack.hidden():
        warning_line(f"These win over the stack's own; unset them: {' '.join(hidden)}")
    note("Set this, here and wherever else on this machine the stack is to be used:")
    typer.echo(f"export LUME_ENV_FILE={shlex.quote(str(stack.folder.env_file))}")


@app.command(epilog="Example: `lume-services docker stop`")
def stop(
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Delete what is stored, --persist or not, without asking."),
    ] = False,
    project: Project = _PROJECT,
) -> None:
    """Stop the stack; runs that are under way end.

    What a stack has stored that was never started with `--persist` is deleted if you say so. Where
    nobody can be asked it is kept, unless `--delete` is given.
    """
    from lume_services.docker import Stack

    stack = Stack(project)
    stored = stack.stored()
    asks = stored and not delete and not stack.folder.persists and sys.stdin.isatty()
    delete = delete or (
        asks and typer.confirm("Delete all models, results and runs that it has stored?", err=True)
    )
    stack.stop(delete=delete)
    note("Stopped.")
    if stored and delete:
        note("What it had stored is deleted, and its variables: unset LUME_ENV_FILE.")
    elif stored:
        note(
            "What it has stored is kept: `lume-services docker start-services` finds it, "
            "`lume-services docker stop --delete` deletes it."
        )


@app.command(epilog="Example: `lume-services docker status`")
def status(project: Project = _PROJECT, as_json: AsJson = False) -> None:
    """Show the services of the stack; exit code 1 when one is not healthy."""
    from lume_services.docker import Stack

    services = Stack(project).status()
    if as_json:
        print_json([{**asdict(one), "ready": one.ready} for one in services])
    else:
        print_table(
            ("Service", "State", "Where", "Restarts", "Image"),
            [(one.name, one.state, one.address, one.restarts, one.image) for one in services],
            droppable=True,
        )
    if not all(one.ready for one in services):
        raise typer.Exit(1)


@app.command(epilog="Example: `lume-services docker logs worker --follow`")
def logs(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Which; all when not given.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="Lines of each, from its end.")] = 100,
    project: Project = _PROJECT,
) -> None:
    """Print the logs of the stack."""
    from lume_services.docker import Stack

    Stack(project).logs(services or (), follow=follow, tail=tail)
