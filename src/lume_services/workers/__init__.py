"""Workers: what takes runs from a Prefect server and starts a job for each."""

from __future__ import annotations

from lume_services.workers.starting import start_worker

__all__ = ["start_worker"]
