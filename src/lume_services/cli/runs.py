"""``lume-services runs``: what was asked for on a Prefect server, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lume_services.cli._backend import backend_of_server
from lume_services.cli._output import AsJson, as_plain, counted, note, print_json, print_table

if TYPE_CHECKING:
    from lume_services.services.scheduling.backends import FlowRunHandle

__all__ = ["app"]

app = typer.Typer(help="See and cancel runs on a Prefect server.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(metavar="ID", help="Its id.")]


@app.command("list", epilog="Example: `lume-services runs list --limit 50`")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=200, help="So many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    handles = backend_of_server().list_runs(limit=limit)
    if as_json:
        print_json([_facts(one) for one in handles])
        return
    print_table(
        ("Id", "Name", "State", "Page"),
        [(one.id, one.name, one.state.value, one.url) for one in handles],
        droppable=True,
    )
    note(counted(len(handles), "run"))


@app.command(epilog="Example: `lume-services runs show 0b52…`")
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """Show one run: its state and, once it is over, what it gave back."""
    from lume_services.results import Result

    run = backend_of_server().handle(run_id)
    facts = _facts(run)
    if run.state.value == "Completed":
        value = run.result()
        facts["value"] = as_plain(value) if isinstance(value, Result) else value
    if as_json:
        print_json(facts)
    else:
        print_table(("Fact", "Value"), list(facts.items()))


@app.command(epilog="Example: `lume-services runs logs 0b52… --follow`")
def logs(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run is over.")] = False,
) -> None:
    """Print what a run has logged."""
    for line in backend_of_server().handle(run_id).logs(follow=follow):
        where = "" if line.task is None else f" {line.task}:"
        typer.echo(f"{line.time:%Y-%m-%d %H:%M:%S} {line.level}{where} {line.message}")


@app.command(epilog="Example: `lume-services runs cancel 0b52…`")
def cancel(run_id: RunId) -> None:
    """Ask a run to stop."""
    run = backend_of_server().handle(run_id)
    run.cancel()
    note(f"{run.name}: {run.state.value}")


def _facts(run: FlowRunHandle) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state.value,
        "page": getattr(run, "url", ""),
    }
