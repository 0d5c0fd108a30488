"""The results database of a group: documents and blobs on a MongoDB server."""

from __future__ import annotations

from lume_services.services.results.mongodb.store import MongodbResultsDB
from lume_services.services.results.settings import ResultsDBConfig

__all__ = ["MongodbResultsDB", "MongodbResultsDBConfig"]

MongodbResultsDBConfig = ResultsDBConfig
"""The name by which LUME-services 0.x knew the settings."""
