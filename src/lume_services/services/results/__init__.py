"""The results database: documents in collections, blobs beside them.

``ResultsDB`` is the base class and its docstring the contract; ``ResultsDBService`` is what one
asks for results. The embedded default is ``sqlite.SQLiteResultsDB``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lume_services.services.results.settings import ResultsDBConfig

if TYPE_CHECKING:
    from lume_services.services.results.base import ResultsDB
    from lume_services.services.results.service import ResultsDBService

__all__ = ["ResultsDB", "ResultsDBConfig", "ResultsDBService"]


def __getattr__(name: str) -> Any:
    # Who wants the settings, which live in this package, does not wait for the query language.
    if name == "ResultsDB":
        from lume_services.services.results.base import ResultsDB

        return ResultsDB
    if name == "ResultsDBService":
        from lume_services.services.results.service import ResultsDBService

        return ResultsDBService
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
