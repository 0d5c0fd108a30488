"""The model registry: which models there are, their versions, which is live, and their flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lume_services.services.models.identity import flow_id

if TYPE_CHECKING:
    from lume_services.services.models.service import ModelDBService

__all__ = ["ModelDBService", "flow_id"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy is not imported by who only wants the settings, which live in this package.
    if name == "ModelDBService":
        from lume_services.services.models.service import ModelDBService

        return ModelDBService
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
