"""For tests of one's own: a results database in memory, and suites for one's own implementations.

``MemoryResultsDB`` goes to ``configure(results_db=…)``. The suites hold a test of every promise of
a base class: subclass one, supply a fixture, and pytest runs them. They need pytest.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from lume_services.services.results.memory import MemoryResultsDB

__all__ = [
    "BackendConformance",
    "ConfinedFilesystemConformance",
    "FilesystemConformance",
    "MemoryResultsDB",
    "ResultsDBConformance",
    "SharedResultsDBConformance",
]

_SUITES = {
    "BackendConformance": "backends",
    "ConfinedFilesystemConformance": "filesystems",
    "FilesystemConformance": "filesystems",
    "ResultsDBConformance": "results_db",
    "SharedResultsDBConformance": "results_db",
}


def __getattr__(name: str) -> Any:
    # The suites need pytest, which whoever wants a store in memory may not have.
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__name__}.{_SUITES[name]}"
    if module not in sys.modules:
        import pytest

        pytest.register_assert_rewrite(module)  # so that a failure shows the values
    return getattr(import_module(module), name)
