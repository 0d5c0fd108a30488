"""A run of any Prefect flow in this process, for a backend to hold on to."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from typing import Any, Protocol
from uuid import UUID, uuid4

import prefect
from prefect.client.schemas.objects import State
from prefect.states import Crashed, Pending, Running

from lume_services._log_record import LogRecord
from lume_services.engine._decorators import InlineFlow
from lume_services.engine._flow_runs import InlineFlowRun
from lume_services.engine._interrupts import Stopped
from lume_services.engine._logs import kept_in
from lume_services.engine._parameters import checked_parameters
from lume_services.engine._runs import run_coroutine
from lume_services.errors import RunCancelledError, RunError

__all__ = ["LocalRun", "local_run"]


class LocalRun(Protocol):
    """A run of a flow in this process, not begun yet."""

    @property
    def id(self) -> str:
        """A UUID."""

    @property
    def name(self) -> str:
        """A name, for people."""

    @property
    def state(self) -> State[Any]:
        """Where the run has got to."""

    @property
    def logs(self) -> list[LogRecord]:
        """What it has logged so far."""

    def execute(self) -> Any:
        """Carry the run out in this thread and give back what the flow returned.

        Raises:
            RunCancelledError: It was cancelled.
            BaseException: What the flow raised.
        """

    def task_results(self) -> dict[str, Any]:
        """What completed tasks and flows returned, by name; a list where several ran."""

    def cancel(self) -> None:
        """Ask it to stop."""


def local_run(
    flow: prefect.Flow[..., Any],
    parameters: Mapping[str, Any],
    *,
    name: str | None = None,
    run_id: UUID | None = None,
    registered_as: str | None = None,
    keep_results: bool = True,
) -> LocalRun:
    """Prepare a run of a flow in this process.

    Args:
        flow: A flow of this package, which runs inline, or a plain Prefect flow, which Prefect's
            engine runs (starting a server of its own unless ``PREFECT_API_URL`` names one).
        parameters: Its parameters by name.
        name: A name for the run; made up when None.
        run_id: The id under which a server knows of the run; then a plain Prefect flow runs inline
            as well. Made up when None.
        registered_as: The ``flow_id`` of the flow in the model registry, for
            ``registered_flow_id``.
        keep_results: Keep what tasks return, for ``LocalRun.task_results``.

    Raises:
        InvalidInputError: A parameter is unknown, missing, or does not fit its annotation.
        FlowError: The flow is a generator function.
    """
    checked = checked_parameters(flow, parameters)
    if isinstance(flow, InlineFlow) or run_id is not None:
        run = InlineFlowRun(
            flow,
            checked,
            name=name,
            run_id=run_id,
            registered_as=registered_as,
            validate=False,
            keep_results=keep_results,
        )
        return _Inline(run)
    return _ByPrefect(flow, parameters, name)


class _Inline:
    def __init__(self, run: InlineFlowRun) -> None:
        self._run = run
        self.id = str(run.record.id)
        self.logs = run.logs
        self.task_results = run.task_results
        self.cancel = run.stop.set

    @property
    def name(self) -> str:
        return self._run.record.name

    @property
    def state(self) -> State[Any]:
        return self._run.state

    def execute(self) -> Any:
        # A context of its own: nothing of the run that may surround the caller shows inside, and
        # it makes no difference whether the caller is this thread or started another one.
        return Context().run(self._execute)

    def _execute(self) -> Any:
        run = self._run
        try:
            if run.flow.isasync:
                run_coroutine(run.run_async())
            else:
                run.run()
        except Stopped:
            raise RunCancelledError(f"{run.title} was cancelled.") from None
        return run.outcome()


class _ByPrefect:
    def __init__(
        self, flow: prefect.Flow[..., Any], parameters: Mapping[str, Any], name: str | None
    ) -> None:
        self.id = str(uuid4())
        self.name = name or f"{flow.name}-{self.id[:3]}"
        self.logs: list[LogRecord] = []
        self.state: State[Any] = Pending()
        self._flow = flow.with_options(flow_run_name=lambda: self.name)
        self._parameters = parameters

    def execute(self) -> Any:
        return Context().run(self._execute)

    def _execute(self) -> Any:
        self.state = Running()
        try:
            with kept_in(self.logs):
                state: Any = self._flow(**self._parameters, return_state=True)
                self.state = run_coroutine(state) if self._flow.isasync else state
        except BaseException as error:
            self.state = Crashed(data=error, message=repr(error))
            raise
        result: Any = self.state.result
        return result(_sync=True)

    def task_results(self) -> dict[str, Any]:
        raise RunError(
            f"Run {self.name!r} is of a plain Prefect flow, whose tasks' results are not kept. "
            "Make the flow with lume_services.flows.flow."
        )

    def cancel(self) -> None:
        raise RunError(
            f"Run {self.name!r} is of a plain Prefect flow, which cannot be cancelled from here. "
            "Make the flow with lume_services.flows.flow."
        )
