"""PyMongo's errors: which of them pass, and what users are told."""

from __future__ import annotations

import re
from ssl import SSLError
from typing import Any, Final

from bson.errors import BSONError
from pymongo import errors

from lume_services.errors import (
    ConfigurationError,
    LUMEServicesError,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
    UnsupportedQueryError,
)
from lume_services.services.results.mongodb.options import Place

__all__ = ["is_duplicate", "is_transient", "told"]

# Numbers and names: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_UNAUTHORIZED: Final = 13
_AUTHENTICATION_FAILED: Final = frozenset({11, 18, 334, 8000})
_DUPLICATE_KEY: Final = 11000
_TRANSIENT: Final = frozenset(
    {
        *(6, 7, 89, 91, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436),  # no primary
        *(64, 79, 100, 202),  # the write concern, for now; no resources
        *(24, 46, 112, 246),  # locks, conflicting writes, snapshots
        *(43, 50, 134, 175, 237),  # a cursor that was killed, out of time
        14031,  # the server's disk is full
    }
)
_NO_DOCUMENT: Final = frozenset({15, 10334, 17280})  # too deep, too large
_TLS: Final = re.compile(
    r"certificate|hostname mismatch|doesn't match|wrong.version|tls.*alert", re.I
)
_NAMES: Final = re.compile(r"resolution lifetime expired|nameservers failed", re.I)
_LABELS: Final = ("RetryableWriteError", "TransientTransactionError")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later, with nothing changed by anybody."""
    if not isinstance(error, errors.PyMongoError):
        return False
    if isinstance(error, errors.ConnectionFailure):
        return not _is_about_tls(error)
    if isinstance(error, errors.ConfigurationError):  # what mongodb+srv://… stands for
        return _NAMES.search(str(error)) is not None
    if error.timeout or any(map(error.has_error_label, _LABELS)):
        return True
    if isinstance(error, errors.BulkWriteError):
        codes = _codes(error) - {_DUPLICATE_KEY}
        return bool(codes) and codes <= _TRANSIENT
    return isinstance(error, errors.OperationFailure) and error.code in _TRANSIENT


def is_duplicate(error: errors.BulkWriteError) -> bool:
    """Whether all that went wrong is that some documents, or their unique values, are there."""
    return _codes(error) == {_DUPLICATE_KEY}


def told(error: Exception, place: Place) -> LUMEServicesError:
    """The error that says what is wrong with the database, and what to do."""
    name = f"The results database at {place.address}"
    reason = _reason(error)
    host, user, password = (place.variables[name] for name in ("host", "user", "password"))
    if is_transient(error):
        tls = (
            "that it takes encrypted connections, which LUME_RESULTS_DB__TLS__… ask for."
            if place.is_encrypted
            else "whether it wants encrypted connections: LUME_RESULTS_DB__TLS__ENABLED=true."
        )
        return ResultsDBUnavailableError(
            f"{name} cannot be reached, or was lost: {reason}. See that the server runs, that "
            f"{host} is right, and {tls}"
        )
    if _is_about_tls(error):
        return ConfigurationError(
            f"{name}: no encrypted connection: {reason}. Check LUME_RESULTS_DB__TLS__CA_FILE, "
            f"__CERTIFICATE_FILE and __KEY_FILE, and that {host} is the name in the server's "
            "certificate."
        )
    if isinstance(error, errors.OperationFailure):
        if error.code in _AUTHENTICATION_FAILED:
            return ConfigurationError(
                f"{name} does not let the user {place.user!r} in: {reason}. Check {user} and "
                f"{password} and, for a user of another database, authSource=… in "
                f"{place.variables['options']}."
            )
        if error.code == _UNAUTHORIZED and not place.user:
            return ConfigurationError(
                f"{name} asks who you are: name a user in {user}, set {password}."
            )
        if error.code == _UNAUTHORIZED:
            return ResultsDBError(
                f"{name}: the user {place.user!r} may not do this: {reason}. Grant the role "
                f"readWrite on {place.database!r}, or correct {place.variables['database']}."
            )
        if isinstance(error, errors.BulkWriteError) and _codes(error) <= _NO_DOCUMENT:
            return SerializationError(f"{name} takes no such document: {reason}.")
        return ResultsDBError(f"{name} refused: {reason}.")
    if isinstance(error, errors.DocumentTooLarge):  # documents are measured before
        return UnsupportedQueryError(
            f"The query is larger than MongoDB takes: {reason}. Ask with fewer values at a time."
        )
    if isinstance(error, BSONError):
        return ResultsDBError(f"{name} holds a document that cannot be read: {reason}.")
    if isinstance(error, errors.InvalidName):
        return ConfigurationError(f"{place.variables['database']}={place.database!r}: {reason}.")
    if isinstance(error, errors.ConfigurationError | ValueError | TypeError):
        several = ", ".join(dict.fromkeys(place.variables.values()))
        return ConfigurationError(f"One of {several} is not what PyMongo takes: {reason}.")
    return ResultsDBError(f"{name} failed: {reason}.")


def _is_about_tls(error: BaseException) -> bool:
    about = (errors.ConnectionFailure, errors.ConfigurationError)
    return isinstance(error, SSLError) or (
        isinstance(error, about) and _TLS.search(str(error)) is not None
    )


def _problems(error: errors.BulkWriteError) -> list[dict[str, Any]]:
    details = error.details or {}
    return [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]


def _codes(error: errors.BulkWriteError) -> set[Any]:
    return {problem.get("code") for problem in _problems(error)}


def _reason(error: BaseException) -> str:
    """The driver's words, without its picture of the servers and the answer in full."""
    if isinstance(error, errors.BulkWriteError):
        reasons = dict.fromkeys(str(problem.get("errmsg")) for problem in _problems(error))
        return "; ".join(list(reasons)[:3])
    text = re.split(r" \(configured timeouts|, Timeout: |, full error: ", str(error))[0]
    return " ".join(text.split()).rstrip(". ") or type(error).__name__
