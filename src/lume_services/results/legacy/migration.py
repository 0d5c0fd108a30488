"""All results of one database into another, those of 0.x rewritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lume_services.errors import (
    LUMEServicesError,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.results._original import is_original
from lume_services.results.generic import Result
from lume_services.results.legacy.documents import result_from_original
from lume_services.serialization import canonical_hash
from lume_services.services.results import ResultsDB
from lume_services.services.results.base import Document
from lume_services.services.results.copying import Copied, Refused, copy_results, store_each

__all__ = ["Migrated", "migrate_results"]

_ORIGINAL = "it was stored by 0.x"


@dataclass
class Migrated(Copied):
    """What came of a migration; ``copied`` are the documents of this version."""

    migrated: int = 0
    """Results of 0.x that were rewritten, read back and found equal."""


def migrate_results(
    source: ResultsDB,
    target: ResultsDB,
    collections: Sequence[str] | None = None,
    *,
    advance: Callable[[int], object] = lambda documents: None,
) -> Migrated:
    """Bring the results of LUME-services 0.x in one database to this version in another.

    A result keeps its ``flow_id``, date and id. Its hashes are made anew; the ``unique_hash`` and
    ``result_type_string`` that it had stand in the field ``migrated_from`` of its document.
    Documents of this version are copied. Each is read back, and its values are compared with those
    read from the source. What cannot be read is left out and reported; nothing is unpickled. The
    source is only read. Doing it again adds only what is missing.

    A result class of your own has to be known: import its module first, or have its package
    announce it.

    Args:
        source: Where from.
        target: Where to, another database.
        collections: Which; all when None.
        advance: Called with the number of documents dealt with.

    Returns:
        The counts, and what was refused and why.

    Raises:
        ResultsDBError: Both are the same database.
        ResultsDBUnavailableError: One of them is away; start again when it is back.
    """
    if source is target or source.address == target.address:
        raise ResultsDBError(
            f"Source and target are the same, {source.address}: migrate into a new database."
        )
    if collections is None:
        collections = source.collections()
    copied = copy_results(source, target, collections, check=_check)
    report = Migrated(**vars(copied))
    report.refused = [one for one in copied.refused if one.reason != _ORIGINAL]
    for collection in collections:
        for document in source.scan(collection):
            if is_original(document):
                _migrate(document, collection, target, report)
            advance(1)
    return report


def _check(document: Document) -> str | None:
    return _ORIGINAL if is_original(document) else None


def _migrate(document: Document, collection: str, target: ResultsDB, report: Migrated) -> None:
    try:
        result = result_from_original(document, collection)
        new = result.get_db_dict(target.put_blob)
        there = next(target.find(collection, {"unique_hash": new["unique_hash"]}), None)
        if there is not None:
            if _read(there, target)["unique_hash"] != new["unique_hash"]:
                raise SerializationError(f"{there['_id']} in the target does not fit its own hash.")
            report.already_there += 1
            return
        former = {name: document[name] for name in ("unique_hash", "result_type_string")}
        rewritten = {"_id": document["_id"], **new, "migrated_from": former}
        (outcome,) = store_each(target, collection, [rewritten])
        if isinstance(outcome, LUMEServicesError):
            raise outcome
        there = next(target.find(collection, {"_id": outcome}), None)
        if there is None or canonical_hash(_read(there, target)) != canonical_hash(new):
            raise SerializationError("It does not come back as it was stored.")
        report.migrated += 1
    except ResultsDBUnavailableError:
        raise
    except LUMEServicesError as error:
        report.refused.append(Refused(collection, document["_id"], str(error)))


def _read(document: Document, store: ResultsDB) -> Document:
    """A stored result, its values read and encoded again."""
    again = Result.from_document(document, store.get_blob).get_db_dict()
    del again["_id"]
    return again
