"""Models: register, evaluate, sweep, run, and find their results."""

from __future__ import annotations

from lume_services.models.model import Model
from lume_services.models.points import grid
from lume_services.models.rerun import Difference, rerun

__all__ = ["Difference", "Model", "grid", "rerun"]
