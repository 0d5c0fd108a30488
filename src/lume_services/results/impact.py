"""Results of live Impact-T models."""

from __future__ import annotations

from typing import Any

from lume_services.files import HDF5File, ImageFile
from lume_services.results._fields import Milliseconds
from lume_services.results.generic import Result

__all__ = ["ImpactResult"]


class ImpactResult(Result):
    """A run of an Impact-T model on a snapshot of the machine, archived in files."""

    plot_file: ImageFile | None = None
    """Summary plot."""
    archive: HDF5File
    """Everything that Impact-T wrote, in HDF5."""
    pv_collection_isotime: Milliseconds
    """When the process variables were read: UTC, in milliseconds."""
    config: dict[str, Any]
    """Settings that the simulation was run with."""
