"""``lume-services db``: the schema of the model registry."""

from __future__ import annotations

import typer

from lume_services.cli._output import AsJson, note, print_json

__all__ = ["app"]

app = typer.Typer(help="The tables of the model registry.", no_args_is_help=True)


@app.command(epilog="Example: `lume-services db upgrade`")
def upgrade() -> None:
    """Bring the tables to the schema of this version; SQLite does it by itself."""
    from lume_services.config import configure, context

    configure()
    service = context.model_db_service()
    before = service.current_revision()
    service.apply_schema()
    note(f"Schema {before or 'empty'} -> {service.current_revision()}")


@app.command(epilog="Example: `lume-services db current`")
def current(as_json: AsJson = False) -> None:
    """Show the schema that the registry has, and the one this version wants."""
    from lume_services.config import configure, context

    configure()
    service = context.model_db_service()
    revisions = {"current": service.current_revision(), "wanted": service.head_revision()}
    if as_json:
        print_json(revisions)
    else:
        typer.echo(f"current {revisions['current'] or 'empty'}, wanted {revisions['wanted']}")
