"""The embedded results database: one SQLite file, and a folder of blobs beside it."""

from __future__ import annotations

from lume_services.services.results.sqlite.store import SQLiteResultsDB

__all__ = ["SQLiteResultsDB"]
