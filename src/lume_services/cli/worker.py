"""``lume-services worker``: what carries out the runs that others ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Carry out runs that others ask for.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Carry out runs that others ask for."""


@app.command(epilog="Example: `lume-services worker start --limit 4`, with `LUME_BACKEND=process`")
def start(
    name: Annotated[
        str | None,
        typer.Option(help="Its name on Prefect's pages; the machine's, with a number."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; as many as are asked for.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="The work pool; `lume-` and the backend when not given.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Network of jobs that are containers, as `docker run --network` takes it. When "
            "not given: `host` where Prefect's server is on this machine, else Docker's default."
        ),
    ] = None,
    job_template: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parts of a Kubernetes Job (YAML), laid over that of every job: node selectors, "
            "tolerations, volumes.",
        ),
    ] = None,
) -> None:
    """Take runs from the Prefect server and start a job for each, until it is interrupted.

    `LUME_BACKEND` says what a job is; the worker's settings become those of its jobs.
    """
    from lume_services.config import configure, context
    from lume_services.workers import start_worker

    configure()
    start_worker(
        context.settings,
        name=name,
        limit=limit,
        work_pool=pool,
        network=network,
        job_template=job_template,
    )
