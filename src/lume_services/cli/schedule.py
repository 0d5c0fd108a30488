"""``lume-services schedule``: runs of models again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from lume_services.cli._backend import backend_of_server
from lume_services.cli._inputs import Parameters, inputs_of
from lume_services.cli._output import AsJson, note, print_json, print_table
from lume_services.cli.models import ModelName

__all__ = ["app"]

app = typer.Typer(help="Have models run again and again.", no_args_is_help=True)


@app.command(epilog="Example: `lume-services schedule add injector --cron '0 6 * * *' -p phase=0`")
def add(
    model: ModelName,
    parameter: Parameters = None,
    cron: Annotated[
        str | None,
        typer.Option(help="When, in UTC: minute, hour, day of month, month, day of week."),
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Or how often.")
    ] = None,
) -> None:
    """Have a model run at certain times, or every so many seconds."""
    found = _model(model)
    interval = None if every is None else timedelta(seconds=every)
    schedule = found.schedule(inputs_of(parameter), cron=cron, every=interval)
    note(f"Schedule {schedule}. To end it: lume-services schedule delete {model} {schedule}")


@app.command("list", epilog="Example: `lume-services schedule list injector`")
def list_schedules(model: ModelName, as_json: AsJson = False) -> None:
    """List the schedules of a model."""
    backend = backend_of_server()
    schedules = backend.schedules(flow_id=_model(model).run_flow.flow_id)
    if as_json:
        print_json(schedules)
    else:
        print_table(("Schedule", "When"), schedules.items())


@app.command(epilog="Example: `lume-services schedule delete injector 0b52…`")
def delete(
    model: ModelName,
    schedule: Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")],
) -> None:
    """End a schedule of a model; runs that have begun go on."""
    flow_id = _model(model).run_flow.flow_id
    backend_of_server().unschedule(flow_id=flow_id, schedule_id=schedule)
    note(f"Schedule {schedule} is ended")


def _model(name: str) -> Any:
    from lume_services.models import Model

    backend_of_server()
    return Model.find(name)
