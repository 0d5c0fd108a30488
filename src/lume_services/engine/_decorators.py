"""The decorators ``flow`` and ``task``, and the classes that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

import prefect

from lume_services.engine._current import runs_inline
from lume_services.engine._flow_runs import InlineFlowRun
from lume_services.engine._plain import carry_out
from lume_services.engine._prefect import as_kind, get_call_parameters
from lume_services.engine._task_runs import InlineTaskRun

__all__ = ["InlineFlow", "InlineTask", "flow", "task"]

P = ParamSpec("P")
R = TypeVar("R")


class InlineFlow(prefect.Flow[P, R]):
    """A Prefect flow that runs in the calling process when no Prefect engine is running.

    Called from a script, a notebook, a test, or another flow that runs so, the function runs then
    and there: no server, no API, no database. Run by a Prefect worker it is a Prefect flow in
    every respect, so it is deployed like any other.
    """

    if not TYPE_CHECKING:  # type checkers go by Prefect's overloads

        def __call__(
            self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
        ) -> Any:
            """Run the flow.

            Args:
                *args: Arguments of the function.
                return_state: Give back the final ``prefect.State`` in place of the value.
                wait_for: Futures and states that must complete first.
                **kwargs: Arguments of the function.

            Returns:
                What the function returned, or the state; a coroutine for an asynchronous flow.

            Raises:
                RunTimeoutError: It took longer than ``timeout_seconds``.
                ParameterTypeError: An argument does not fit its annotation (Prefect's error).
                Exception: What the function raised, after the last retry.
            """
            if not runs_inline():
                return super().__call__(
                    *args, return_state=return_state, wait_for=wait_for, **kwargs
                )
            parameters = get_call_parameters(self.fn, args, kwargs)
            return carry_out(InlineFlowRun(self, parameters, wait_for), return_state=return_state)

    def with_options(self, **options: Any) -> Self:
        """A copy with other options, those of ``flow``."""
        return as_kind(super().with_options(**options), type(self))


class InlineTask(prefect.Task[P, R]):
    """A Prefect task that runs in the calling process wherever an ``InlineFlow`` does."""

    if not TYPE_CHECKING:  # type checkers go by Prefect's overloads

        def __call__(
            self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
        ) -> Any:
            """Run the task; as ``InlineFlow.__call__``.

            Raises:
                UpstreamTaskError: A future among the arguments, or one to wait for, has failed
                    (Prefect's error).
            """
            if not runs_inline():
                return super().__call__(
                    *args, return_state=return_state, wait_for=wait_for, **kwargs
                )
            parameters = get_call_parameters(self.fn, args, kwargs)
            return carry_out(InlineTaskRun(self, parameters, wait_for), return_state=return_state)

    def with_options(self, **options: Any) -> Self:
        """A copy with other options, those of ``task``."""
        return as_kind(super().with_options(**options), type(self))


@overload
def flow(function: Callable[P, R], /) -> InlineFlow[P, R]: ...
@overload
def flow(**options: Any) -> Callable[[Callable[P, R]], InlineFlow[P, R]]: ...
def flow(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow`` or ``@flow(retries=2, …)``.

    Args:
        function: The function, plain or asynchronous.
        **options: Those of ``prefect.flow``: ``name``, ``version``, ``description``,
            ``flow_run_name``, ``retries``, ``retry_delay_seconds``, ``timeout_seconds`` (seconds),
            ``validate_parameters``, ``task_runner``, ``log_prints``, ``persist_result``,
            ``result_storage``, ``result_serializer``, ``cache_result_in_memory``, and lists of
            hooks ``on_completion``, ``on_failure``, ``on_cancellation``, ``on_crashed``,
            ``on_running``.

    Returns:
        The ``InlineFlow``, or a decorator that makes it.
    """
    if function is None:
        return lambda function: InlineFlow(function, **options)
    return InlineFlow(function, **options)


@overload
def task(function: Callable[P, R], /) -> InlineTask[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], InlineTask[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task: ``@task`` or ``@task(retries=2, …)``.

    Args:
        function: The function, plain or asynchronous.
        **options: Those of ``prefect.task``: ``name``, ``description``, ``tags``, ``version``,
            ``task_run_name``, ``retries``, ``retry_delay_seconds`` (seconds: a number, a list, or
            a function of the number of retries), ``retry_jitter_factor``, ``retry_condition_fn``,
            ``timeout_seconds`` (seconds), ``log_prints``, and lists of hooks ``on_completion``,
            ``on_failure``, ``on_running``. Those of caching, persistence and transactions are taken
            too, and act where Prefect's engine runs the task.

    Returns:
        The ``InlineTask``, or a decorator that makes it.
    """
    if function is None:
        return lambda function: InlineTask(function, **options)
    return InlineTask(function, **options)
