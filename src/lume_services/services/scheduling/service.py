"""The scheduling service: runs flows on the configured backend."""

from __future__ import annotations

from lume_services.services.scheduling.backends.backend import Backend

__all__ = ["SchedulingService"]


class SchedulingService:
    """Runs flows, whatever the backend.

    Backends do all that there is to do, so its methods are those of the backend, with the
    arguments told in ``Backend``.

    Args:
        backend: What carries the flows out.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.create_project = backend.create_project
        self.register_flow = backend.register_flow
        self.submit = backend.submit
        self.run = backend.run
        self.run_and_return = backend.run_and_return
