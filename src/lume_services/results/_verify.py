"""Whether a stored result is what its hashes say."""

from __future__ import annotations

from typing import Any

from lume_services.errors import LUMEServicesError, SerializationError
from lume_services.results._classes import stored_class
from lume_services.results._original import REMEDY, is_original
from lume_services.results.generic import Result, hashes_of
from lume_services.serialization import GetBlob, unfit

__all__ = ["hash_problem"]

_HASHES = ("inputs_hash", "unique_hash")


def hash_problem(document: dict[str, Any], get_blob: GetBlob) -> str | None:
    """What is wrong with the hashes of a stored document; None when nothing is.

    A document that is no result has none; one of 0.x has no hash of this version. Of a result
    whose class is not known here the ``unique_hash`` cannot be made; ``inputs_hash`` is checked.

    Args:
        document: What the results database holds.
        get_blob: Where blobs are read from, of values that were moved out of the document.

    Raises:
        BlobNotFoundError: A blob is missing.
        CorruptBlobError: A blob is damaged.
        SerializationError: A blob does not hold what the document says.
    """
    if is_original(document):
        return f"it was stored by LUME-services 0.x: {REMEDY}"
    if not document.keys() >= {"result_type_string", *_HASHES}:
        return None
    names: tuple[str, ...] = _HASHES
    unique_on: tuple[str, ...]
    try:
        unique_on = stored_class(document["result_type_string"], Result).unique_on
    except LUMEServicesError:
        unique_on, names = (), ("inputs_hash",)
    needed = {"inputs", "status", "flow_run_id", *unique_on}
    if missing := sorted(needed - document.keys()):
        return f"it has no {', '.join(missing)}"
    try:
        made = hashes_of(unfit({name: document[name] for name in needed}, get_blob), unique_on)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, LUMEServicesError):
            raise
        raise SerializationError(f"it is malformed: {error!r}") from error
    wrong = [name for name in names if made[name] != document[name]]
    if wrong:
        return f"its values are not those that its {' and '.join(wrong)} was made of"
    return None
