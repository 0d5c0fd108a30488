"""``lume-services db``: the schema of the model registry."""

from __future__ import annotations

import typer

from lume_services.cli._output import AsJson, error_line, note, print_json

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
    after = service.current_revision()
    note(f"Schema {before or 'empty'} -> {after}" if before != after else f"Schema {after} already")


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


@app.command(epilog="Example: `lume-services db check || lume-services db upgrade`")
def check(as_json: AsJson = False) -> None:
    """See whether the schema is the one this version wants; exit code 1 when it is not."""
    from lume_services.config import configure, context
    from lume_services.errors import SchemaError

    configure()
    service = context.model_db_service()
    problem = None
    try:
        service.check_schema()
    except SchemaError as error:
        problem = str(error)
    if as_json:
        revisions = {"current": service.current_revision(), "wanted": service.head_revision()}
        print_json({"ok": problem is None, **revisions, "problem": problem})
    elif problem is None:
        typer.echo(f"current {service.head_revision()}, as wanted")
    else:
        error_line(problem)
    if problem is not None:
        raise typer.Exit(1)
