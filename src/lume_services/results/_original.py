"""Results as LUME-services 0.x stored them: how they are told, and what to do with one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lume_services.errors import LegacyDocumentError

__all__ = ["REMEDY", "is_original", "refuse_original"]

REMEDY = "lume-services results migrate --from URL --to URL"

# What every result of 0.x has, and that its hash was an md5.
_FIELDS = {"flow_id", "inputs", "outputs", "result_type_string", "unique_hash"}
_MD5 = re.compile("[0-9a-f]{32}")


def is_original(document: Mapping[str, Any]) -> bool:
    """Whether a document is a result that LUME-services 0.x stored."""
    return (
        "inputs_hash" not in document
        and document.keys() >= _FIELDS
        and _MD5.fullmatch(str(document["unique_hash"])) is not None
    )


def refuse_original(document: Mapping[str, Any]) -> None:
    """Refuse a result of 0.x.

    Raises:
        LegacyDocumentError: It is one; the message says what to run.
    """
    if is_original(document):
        raise LegacyDocumentError(
            f"The result {document.get('_id')} was stored by LUME-services 0.x, which pickled "
            f"arrays; nothing is unpickled here. Rewrite the results once: {REMEDY}"
        )
