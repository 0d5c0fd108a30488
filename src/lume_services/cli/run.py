"""``lume-services run`` and ``sweep``: evaluate a model and record what comes out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lume_services.cli._inputs import Parameters, assignment, inputs_of, value_of
from lume_services.cli._output import (
    AsJson,
    as_plain,
    counted,
    note,
    notes_of,
    print_json,
    print_table,
    print_values,
    short,
)
from lume_services.cli._stores import tell_of_waiting
from lume_services.cli.models import ModelName
from lume_services.errors import InvalidInputError, LUMEServicesError, ModelFailedError

if TYPE_CHECKING:
    from lume_services.models import Model

__all__ = ["run", "sweep"]

_SHOWN = 40

Version = Annotated[
    str | None, typer.Option(help="The version to use; the live one when not given.")
]


def run(
    model: ModelName,
    parameter: Parameters = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Run a model on the configured backend, record the result and print it.

    Example: `lume-services run injector -p solenoid=0.24 -p charge=1e-10`
    """
    from lume_services.results import Result

    inputs = inputs_of(parameter)
    found = _found(model, version)
    try:
        result = found.run_and_return(inputs)
    except LUMEServicesError:
        raise
    except Exception as error:
        recorded = " ".join(notes_of(error))
        raise ModelFailedError(f"{type(error).__name__}: {error}. {recorded}") from error
    if not isinstance(result, Result):  # what a flow of the model's own returned
        if isinstance(result, Mapping) and not as_json:
            rows = [(name, short(value)) for name, value in result.items()]
            print_table(("Name", "Value"), rows)
        else:
            print_json(result)
        return
    if as_json:
        print_json(as_plain(result))
        return
    print_values(result)
    if tell_of_waiting():
        note(f"The id of this one: {result.id}")
    else:
        note(f"Everything of it: lume-services results show {result.id}")


def sweep(
    model: ModelName,
    grid: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=START:STOP:COUNT",
            help="Values of an input, evenly spaced; or NAME=a,b,c. Repeated, every combination.",
        ),
    ],
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes to use; as many as there are cores.")
    ] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model at every point of a grid on this machine and record the results.

    Points that have succeeded before are not evaluated again.

    Example: `lume-services sweep injector --grid solenoid=0.2:0.3:11 --grid phase=-5,0,5`
    """
    from lume_services.models import grid as points

    axes: dict[str, list[Any]] = {}
    for name, text in (assignment(one, "--grid") for one in grid):
        if name in axes:
            raise InvalidInputError(f"--grid {name}: given twice; write all values in one")
        axes[name] = _axis(name, text)
    try:
        frame = _found(model, version).sweep(points(**axes), max_workers=workers)
    except KeyboardInterrupt:
        note("Interrupted. What was computed is recorded; the same command goes on from there.")
        raise typer.Exit(130) from None
    if as_json:
        print_json(frame.to_dict("records"))
        return
    failed = int((frame["status"] == "failed").sum())
    outputs = [str(name) for name in frame if str(name).startswith("outputs.")]
    shown = [*(f"inputs.{name}" for name in axes), *outputs, "status"]
    plain = [name for name in shown if frame[name].dtype != object]
    rows = frame[plain].head(_SHOWN).itertuples(index=False)
    print_table([name.partition(".")[2] or name for name in plain], rows)
    first = f", the first {_SHOWN} shown" if len(frame) > _SHOWN else ""
    note(
        f"{counted(len(frame), 'point')}, {failed} failed{first}. In a table file: "
        f"lume-services results export {shlex.quote(model)} scan.csv"
    )
    tell_of_waiting()


def _found(model: str, version: str | None) -> Model:
    from lume_services.config import configure
    from lume_services.models import Model

    configure()
    found = Model.find(model)
    if version is not None:
        found.load_deployment(version=version)
    return found


def _axis(name: str, text: str) -> list[Any]:
    if ":" not in text:
        return [value_of(value) for value in text.split(",")]
    import numpy as np

    try:
        start, stop, count = text.split(":")
        if int(count) < 1:
            raise ValueError("a count")
        return [float(value) for value in np.linspace(float(start), float(stop), int(count))]
    except ValueError:
        raise InvalidInputError(
            f"--grid {name}={text}: write START:STOP:COUNT, for example {name}=0:1:11"
        ) from None
