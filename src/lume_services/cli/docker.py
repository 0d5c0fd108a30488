"""``lume-services docker``: the image that jobs of the docker backend run in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lume_services.cli._output import note

__all__ = ["app"]

app = typer.Typer(help="Make the image that jobs run in.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make the image that jobs run in."""


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
    """Build it, with the versions of packages that are installed here."""
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
