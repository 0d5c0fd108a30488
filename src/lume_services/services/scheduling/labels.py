"""What is written on Prefect's record of a run, beside what Prefect itself writes there."""

from __future__ import annotations

from typing import Final

__all__ = ["LOGGER_OF_TASKS", "OUTCOME", "STORES"]

OUTCOME: Final = "lume.outcome"
"""Digest of the blob with what the run gave back."""
STORES: Final = "lume.stores"
"""Digest of a blob that who asked for the run has stored, and the address of that database."""
LOGGER_OF_TASKS: Final = "lume_services.task."
"""Before the name of the task that has logged a line."""
