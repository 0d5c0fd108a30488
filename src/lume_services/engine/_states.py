"""The states that runs end in, and the hooks that they call."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Completed, Failed

from lume_services.engine._prefect import StateGroup, hold, is_state_iterable

__all__ = ["HOOKS", "final_state"]

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
    data = hold(value)
    if not is_state_iterable(value):
        return Completed(data=data)
    states = StateGroup(list(value))
    if states.all_completed():
        return Completed(data=data)
    message = f"Given states: {states.counts_message()}"
    make = Cancelled if states.any_cancelled() else Failed
    return make(data=data, message=message)
