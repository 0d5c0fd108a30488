"""The results database: documents in collections, blobs beside them.

``ResultsDB`` is the base class and its docstring the contract, ``ResultsDBService`` what one asks
for results. The embedded default is ``sqlite.SQLiteResultsDB``.
"""

from __future__ import annotations

from lume_services.services.results.base import ResultsDB
from lume_services.services.results.service import ResultsDBService
from lume_services.services.results.settings import ResultsDBConfig

__all__ = ["ResultsDB", "ResultsDBConfig", "ResultsDBService"]
