"""``lume-services init``: the repository of a packaged model."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lume_services.cli._output import note
from lume_services.errors import InvalidInputError

__all__ = ["init"]


def init(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the package, such as `lcls-injector`.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option(help="The folder to make; one called NAME in this folder when not given."),
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="What the model is; the registry finds it by this.")
    ] = None,
    author: Annotated[str | None, typer.Option(help="Who writes it.")] = None,
    laboratory: Annotated[str | None, typer.Option(help="Where it is used.")] = None,
    facility: Annotated[str | None, typer.Option(help="The machine that it describes.")] = None,
    beampath: Annotated[str | None, typer.Option(help="The part of the machine.")] = None,
    image: Annotated[
        str | None,
        typer.Option(help="Container image that it runs in, without the tag; NAME when not given."),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing: what is not given has its default.")
    ] = False,
) -> None:
    """Make the repository of a packaged model.

    Code, variables, flow, tests, Dockerfile and workflow work as they are, with a small model to
    put your own in place of. Asks for what is not given; prints the folder.

    Example: `lume-services init lcls-injector --laboratory SLAC --defaults`
    """
    from lume_services.environment.making import QUESTIONS, make_package

    given = (description, author, laboratory, facility, beampath, image)
    answers = {
        question: answer
        for question, answer in zip(QUESTIONS, given, strict=True)
        if answer is not None
    }
    open_ones = [f"--{question}" for question in QUESTIONS if question not in answers]
    ask = bool(open_ones) and not defaults
    if ask and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInputError(
            f"Nobody can be asked where there is no terminal: give {', '.join(open_ones)}; "
            "or --defaults, and those that are not given have their defaults"
        )
    folder = make_package(name, directory, answers=answers, ask=ask)
    typer.echo(folder)
    note(f"Made. Try next, and see its README.md:\n   cd {shlex.quote(os.path.relpath(folder))}")
    note("   pip install --editable '.[test]'\n   pytest")
