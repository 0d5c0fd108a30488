"""The database behind the model registry: any that SQLAlchemy speaks to, SQLite by default."""

from __future__ import annotations

from lume_services.services.models.db.db import ModelDB
from lume_services.services.models.settings import ConnectionConfig, ModelDBConfig

__all__ = ["ConnectionConfig", "ModelDB", "ModelDBConfig"]
