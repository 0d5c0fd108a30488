"""Inputs of models, as they are written on a command line."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lume_services.errors import InvalidInputError

__all__ = ["Parameters", "assignment", "inputs_of", "value_of"]

Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--parameter", metavar="NAME=VALUE", help="An input; others take their default."
    ),
]


def inputs_of(parameters: list[str] | None) -> dict[str, Any]:
    """What ``-p NAME=VALUE`` options give.

    Raises:
        InvalidInputError: One of them is not of that form.
    """
    given = dict(assignment(text, "-p") for text in parameters or [])
    return {name: value_of(text) for name, text in given.items()}


def assignment(text: str, option: str) -> tuple[str, str]:
    """The two sides of ``NAME=VALUE``.

    Raises:
        InvalidInputError: It is not of that form.
    """
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise InvalidInputError(f"{option} {text!r}: write NAME=VALUE")
    return name, value


def value_of(text: str) -> Any:
    """A number, list, true or false as JSON writes it, nan and inf; anything else is text."""
    if text.lower().lstrip("+-") in ("nan", "inf"):
        return float(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
