"""``lume-services files``: the filesystems of the file service and what is on them."""

from __future__ import annotations

from typing import Annotated

import typer

from lume_services.cli._output import AsJson, print_json, print_table

__all__ = ["app"]

app = typer.Typer(help="See the filesystems and the files on them.", no_args_is_help=True)


@app.command("filesystems", epilog="Example: `lume-services files filesystems`")
def list_filesystems(as_json: AsJson = False) -> None:
    """List the configured filesystems."""
    from lume_services.config import configure, context

    configure()
    service = context.file_service()
    rows = [(name, service.filesystem(name).address) for name in service.identifiers]
    if as_json:
        print_json([{"identifier": name, "where": where} for name, where in rows])
    else:
        print_table(("Identifier", "Where"), rows)


@app.command("list", epilog="Example: `lume-services files list plots`")
def list_files(
    folder: Annotated[str, typer.Argument(help="The folder; its root when not given.")] = "",
    filesystem: Annotated[str, typer.Option(help="Identifier of the filesystem.")] = "local",
    as_json: AsJson = False,
) -> None:
    """List the files and folders in a folder of a filesystem."""
    from lume_services.config import configure, context
    from lume_services.errors import MissingFileError

    configure()
    try:
        names = context.file_service().list_dir(filesystem, folder)
    except MissingFileError:
        if folder:
            raise
        names = []  # nothing has been written yet
    if as_json:
        print_json(names)
    else:
        print_table(("Name",), [(name,) for name in names])
