"""The scheduling service: running flows here or elsewhere."""

from __future__ import annotations

from lume_services.services.scheduling.service import SchedulingService

__all__ = ["SchedulingService"]
