"""``lume-services kubernetes``: what a cluster needs to carry out runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Carry out runs in a Kubernetes cluster.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Carry out runs in a Kubernetes cluster."""


@app.command(epilog="Example: `lume-services kubernetes render -n lume | kubectl apply -f -`")
def render(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where everything is to be, the jobs too.")
    ] = "default",
    server: Annotated[
        bool, typer.Option("--server", help="With Prefect's server and its database.")
    ] = False,
    job_template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="As `worker start` takes it, for the worker there."),
    ] = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="The Secrets alone, with passwords in clear.")
    ] = False,
) -> None:
    """Print the manifests of a worker with the settings of this environment.

    The Secrets, which they need, are printed by themselves, with `--secrets`.
    """
    import yaml

    from lume_services.config import configure, context
    from lume_services.kubernetes import read_job_template, render, render_secrets

    configure()
    settings = context.settings
    if secrets:
        made = render_secrets(settings, namespace=namespace, server=server)
    else:
        template = None if job_template is None else read_job_template(job_template)
        made = render(settings, namespace=namespace, server=server, job_template=template)
    typer.echo(yaml.safe_dump_all(list(made), sort_keys=False), nl=False)
