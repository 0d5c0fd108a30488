"""Backends: what carries out flows."""

from __future__ import annotations

from lume_services.services.scheduling.backends.backend import (
    Backend,
    Capability,
    LogRecord,
    Run,
    RunState,
)
from lume_services.services.scheduling.backends.local import LocalBackend

__all__ = ["Backend", "Capability", "LocalBackend", "LogRecord", "Run", "RunState"]
