"""A run of a flow, inline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from prefect.client.schemas.objects import FlowRun, State

from lume_services._log_record import LogRecord
from lume_services.engine._futures import InlineTaskRunner
from lume_services.engine._logs import kept_in
from lume_services.engine._parameters import validated
from lume_services.engine._prefect import (
    TagsContext,
    flow_run_context,
    max_workers_of,
    patch_print,
    resolve_futures_to_states,
    should_log_prints,
    value_of,
)
from lume_services.engine._runs import InlineRun
from lume_services.engine._task_runs import InlineTaskRun

if TYPE_CHECKING:
    import prefect

__all__ = ["InlineFlowRun"]


class InlineFlowRun(InlineRun):
    """A run of a flow in this process.

    Args:
        flow: The flow.
        parameters: Its parameters, bound to its signature.
        wait_for: Futures and states that must complete first.
        name: The run's name; by the flow's ``flow_run_name``, or made up, when None.
        run_id: The id under which a server knows of it; made up when None.
        registered_as: The ``flow_id`` of the flow in the model registry.
        validate: Convert the parameters to their annotations, if the flow wants it.
        keep_results: Remember the runs of its tasks, and of the flows it calls, as ``children``.

    Attributes:
        logs: What it and the runs that are part of it have logged.
    """

    kind = "Flow"
    record: FlowRun

    def __init__(
        self,
        flow: prefect.Flow[..., Any],
        parameters: dict[str, Any],
        wait_for: Any = None,
        *,
        name: str | None = None,
        run_id: UUID | None = None,
        registered_as: str | None = None,
        validate: bool = True,
        keep_results: bool = False,
    ) -> None:
        # No server knows these ids, but for one that is given; flow_id is the same for every run of
        # a flow, as there.
        self.record = FlowRun(
            id=run_id or uuid4(),
            flow_id=uuid5(NAMESPACE_OID, flow.name),
            **({} if name is None else {"name": name}),
            flow_version=flow.version,
            tags=list(TagsContext.get().current_tags),
            expected_start_time=datetime.now(UTC),
        )
        super().__init__(flow, parameters, wait_for)
        self.flow = flow
        self.logs: list[LogRecord] = []
        self.registered_as = registered_as
        self._validate = validate and flow.should_validate_parameters
        if keep_results:
            self.children = []
        self._name_given = name is not None
        self._task_runner = InlineTaskRunner(InlineTaskRun, max_workers_of(flow))

    def task_results(self) -> dict[str, Any]:
        """What completed tasks and flows returned, by name; a list where several ran."""
        values: dict[str, list[Any]] = {}
        for child in list(self.children or ()):
            if child.state.is_completed():
                values.setdefault(child.target.name, []).append(child.value)
        return {name: some[0] if len(some) == 1 else some for name, some in values.items()}

    @contextmanager
    def _context(self) -> Iterator[None]:
        log_prints = should_log_prints(self.flow)
        self._prefect_context = flow_run_context(
            self.flow, self.record, self.parameters, self._task_runner, log_prints=log_prints
        )
        prints = patch_print() if log_prints else nullcontext()
        with self._prefect_context, kept_in(self.logs), prints:
            try:
                yield
            finally:
                self._close_task_runner()

    def _close_task_runner(self) -> None:
        state = self.state
        orderly = state.is_completed() or (state.is_failed() and state.name != "TimedOut")
        if not orderly:
            self.stop.set()  # for what still runs on other threads
        self._task_runner.close(start_others=state.is_completed(), wait=orderly)

    def _prepare(self) -> dict[str, Any]:
        parameters = super()._prepare()
        if self._validate:
            parameters = validated(self.flow, parameters)
        self.record.parameters = self._prefect_context.parameters = parameters
        template = self.flow.flow_run_name
        if template is not None and not self._name_given:
            name = template() if callable(template) else template.format(**parameters)
            self.record.name = name
        return parameters

    def _succeed(self, value: Any) -> None:
        if self._task_runner.used:
            value = resolve_futures_to_states(value)
        super()._succeed(value)
        if isinstance(self.value, State):
            self.value = value_of(self.value)
