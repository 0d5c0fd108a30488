"""Results: what a model was given and what came out, recorded so that it can be found again.

>>> from lume_services.results import Result, field
>>> result = Result(inputs={"QUAD:K1": 0.5}, outputs={"tune": 0.31})
>>> result.insert()                                                        # doctest: +SKIP
>>> Result.load_from_query({field("inputs", "QUAD:K1"): 0.5})              # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lume_services.results._codec import ResultCodec
from lume_services.results.frames import field, frame
from lume_services.results.generic import Result, get_result_from_string
from lume_services.results.provenance import Provenance, describe_error
from lume_services.serialization import register

if TYPE_CHECKING:
    from lume_services.results.impact import ImpactResult

__all__ = [
    "RESULT_CODEC",
    "ImpactResult",
    "Provenance",
    "Result",
    "describe_error",
    "field",
    "frame",
    "get_result_from_string",
]


RESULT_CODEC = ResultCodec()
"""Results as values, of runs for example."""

register(RESULT_CODEC)


def __getattr__(name: str) -> Any:
    # The only one that needs the file types, which take longer to import than all the rest.
    if name == "ImpactResult":
        from lume_services.results.impact import ImpactResult

        return ImpactResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
