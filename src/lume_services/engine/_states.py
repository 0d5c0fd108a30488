"""The states that runs end in, and the hooks that they call."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.results import ResultRecord  # type: ignore[attr-defined]  # it is documented
from prefect.states import Cancelled, Completed, Failed, StateGroup, is_state_iterable

__all__ = ["HOOKS", "final_state", "value_of"]

HOOKS = {
    StateType.RUNNING: "on_running_hooks",
    StateType.COMPLETED: "on_completion_hooks",
    StateType.FAILED: "on_failure_hooks",
    StateType.CRASHED: "on_crashed_hooks",
    StateType.CANCELLED: "on_cancellation_hooks",
}
"""Where flows and tasks keep the hooks of each state."""


def final_state(value: Any) -> State[Any]:
    """The state of a run whose function returned this; Prefect's rule."""
    if isinstance(value, State):
        return value
    hold: Any = ResultRecord.model_construct
    data = hold(result=value)  # without it, Prefect takes a None for a lost value
    if not is_state_iterable(value):
        return Completed(data=data)
    states = StateGroup(list(value))
    if states.all_completed():
        return Completed(data=data)
    message = f"Given states: {states.counts_message()}"
    make = Cancelled if states.any_cancelled() else Failed
    return make(data=data, message=message)


def value_of(state: State[Any]) -> Any:
    """The value that a completed state holds."""
    return state.data.result if isinstance(state.data, ResultRecord) else state.data
