"""What the tasks that are classes have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from lume_services.engine import InlineTask

__all__ = ["MadeTask"]


class MadeTask(InlineTask[..., Any]):
    """A task whose function is given, made with options.

    Args:
        name: The task's name, by which its results are found; the function's when None.
        timeout: How long it may take, in seconds; the same as ``timeout_seconds``.
        **options: Those of ``lume_services.flows.task``.
    """

    function: ClassVar[Any]
    """What the task does, as a static method."""

    def __init__(
        self, *, name: str | None = None, timeout: float | None = None, **options: Any
    ) -> None:
        if timeout is not None:
            options["timeout_seconds"] = timeout
        function = type(self).function
        super().__init__(function, name=name or function.__name__.lstrip("_"), **options)
