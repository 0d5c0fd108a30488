"""The application: every noun and every verb."""

from __future__ import annotations

import typer

from lume_services.cli import (
    _moves,
    config,
    db,
    demo,
    deployments,
    docker,
    files,
    init,
    kubernetes,
    models,
    package,
    results,
    run,
    runs,
    schedule,
    worker,
)

__all__ = ["app"]

app = typer.Typer(
    name="lume-services",
    help="Register accelerator models, run them anywhere, and find every result again.",
    epilog="Start with `lume-services demo`. With no LUME_* variable set, everything is kept in "
    "a folder of yours, and no server is needed.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models.app, name="models")
app.add_typer(deployments.app, name="deployments")
app.add_typer(package.app, name="package")
app.command()(init.init)
app.command()(run.run)
app.command()(run.sweep)
results.app.add_typer(_moves.app)
app.add_typer(results.app, name="results")
app.add_typer(runs.app, name="runs")
app.add_typer(schedule.app, name="schedule")
app.add_typer(worker.app, name="worker")
app.add_typer(docker.app, name="docker")
app.add_typer(kubernetes.app, name="kubernetes")
app.add_typer(files.app, name="files")
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")
app.command()(demo.demo)
