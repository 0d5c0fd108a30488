"""Backends: what carries out flows."""

from __future__ import annotations

from lume_services.services.scheduling.backends.backend import Backend, Capability
from lume_services.services.scheduling.backends.handle import FlowRunHandle, LogRecord, RunState
from lume_services.services.scheduling.backends.local import LocalBackend

__all__ = ["Backend", "Capability", "FlowRunHandle", "LocalBackend", "LogRecord", "RunState"]
