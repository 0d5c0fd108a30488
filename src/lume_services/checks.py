"""``check_services()``: does everything that is configured answer, and may it be written to?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from lume_services.context import context
from lume_services.errors import LUMEServicesError
from lume_services.services.files.filesystems import Filesystem

__all__ = ["ServiceCheck", "check_services"]

_COLLECTION = "lume-services-check"
_TEXT = b"Written and deleted by `lume-services config check`.\n"
_PINGS = 5


@dataclass(frozen=True)
class ServiceCheck:
    """What was found out about one service, up to the first thing that failed."""

    service: str
    """Which one, in words."""
    address: str = ""
    """Where it is, without secrets."""
    reachable: bool = False
    """Whether it answered."""
    version: str = ""
    """What answered, and its version, where it says so."""
    latency_ms: float | None = None
    """Median time of a small question and its answer, in milliseconds."""
    schema: str = ""
    """Revision of its tables, where it has any."""
    writable: bool | None = None
    """Whether something could be written, and taken away again; None for what stores nothing."""
    problem: str = ""
    """What is wrong and what to do; empty when nothing is."""

    @property
    def ok(self) -> bool:
        """Whether it can be worked with."""
        return not self.problem


def check_services() -> list[ServiceCheck]:
    """Ask every service that is configured; each takes some seconds at most.

    What is written for it is taken away again, except for one blob of a few bytes, which is the
    same each time and which ``lume-services results gc`` collects.

    Raises:
        EnvironmentNotConfiguredError: ``configure()`` has not been called.
    """
    context.settings  # noqa: B018 - raises when there are none
    checks = [
        _checked("model registry", _model_db()),
        _checked("results database", _results_db()),
    ]
    try:
        filesystems = context.container.filesystems()
    except LUMEServicesError as error:
        checks.append(ServiceCheck("files", problem=str(error)))
    else:
        checks += [_checked(f"files {one.identifier!r}", _filesystem(one)) for one in filesystems]
    return [*checks, _checked("scheduling", _backend())]


def _checked(service: str, steps: Iterator[dict[str, Any]]) -> ServiceCheck:
    facts: dict[str, Any] = {}
    try:
        for found in steps:
            facts |= found
    except LUMEServicesError as error:
        facts["problem"] = str(error)
    return ServiceCheck(service, **facts)


def _model_db() -> Iterator[dict[str, Any]]:
    model_db = context.container.model_db()
    yield {"address": model_db.address}
    yield {"version": model_db.version(), "reachable": True}
    yield {"latency_ms": _latency_ms(model_db.version)}
    yield {"schema": model_db.current_revision() or "none"}
    yield {"writable": False}
    model_db.check_writable()
    yield {"schema": model_db.current_revision(), "writable": True}


def _results_db() -> Iterator[dict[str, Any]]:
    results_db = context.container.results_db()
    yield {"address": results_db.address}
    yield {"version": results_db.version(), "reachable": True}
    unknown = {"_id": uuid4().hex}
    yield {"latency_ms": _latency_ms(lambda: list(results_db.find(_COLLECTION, unknown)))}
    yield {"writable": False}
    id_ = results_db.insert_one(_COLLECTION, {"project_name": _COLLECTION, **unknown})
    try:
        results_db.get_blob(results_db.put_blob(_TEXT))
    finally:
        results_db.delete(_COLLECTION, [id_])
    yield {"writable": True}


def _filesystem(filesystem: Filesystem) -> Iterator[dict[str, Any]]:
    yield {"address": str(filesystem)}
    name = f"lume-services-check-{uuid4().hex}.txt"
    filesystem.file_exists(name)
    yield {"reachable": True}
    yield {"latency_ms": _latency_ms(lambda: filesystem.file_exists(name))}
    yield {"writable": False}
    with filesystem.writing(name) as local:
        local.write_bytes(_TEXT)
    filesystem.delete(name)
    yield {"writable": True}


def _backend() -> Iterator[dict[str, Any]]:
    context.container.backend()
    yield {"address": context.settings.backend, "reachable": True}


def _latency_ms(ask: Callable[[], object]) -> float:
    times = []
    for _ in range(_PINGS):
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e3, 3)
