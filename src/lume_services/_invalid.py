"""What pydantic found wrong, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["described"]


def described(error: ValidationError) -> str:
    """Every problem with the name that it has and the value, as far as that is short and plain."""
    problems = []
    for problem in error.errors(include_url=False, include_context=False):
        name = ".".join(map(str, problem["loc"]))
        what = problem["msg"].removeprefix("Value error, ")
        value = problem["input"]
        if problem["type"] == "missing":
            what = "is missing"
        elif problem["type"] == "extra_forbidden":
            what = "is not one of its fields"
        elif isinstance(value, (str, int, float)) or value is None:
            what = f"{what}, not {value!r:.80}"
        problems.append(f"{name}: {what}" if name else what)
    return "; ".join(problems)
