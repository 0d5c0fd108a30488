"""Documents as LUME-services 0.x stored them.

0.x called ``pymongo``'s ``insert_one`` with the fields of a result: arrays as ``bson.Binary`` of a
pickle of protocol 2, frames as ``DataFrame.to_json()``, files as their records, dates naive.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from datetime import datetime
from typing import Any

import bson
import numpy as np
import pandas as pd

GENERIC = "lume_services.results.generic:Result"
IMPACT = "lume_services.results.impact:ImpactResult"
WHEN = datetime(2022, 11, 3, 17, 5, 9, 123000)  # naive, in UTC


def pickled(value: Any, protocol: int = 2, numpy: int = 1) -> bytes:
    """A pickle as numpy of that version writes it."""
    data = pickle.dumps(value, protocol)
    if numpy == 1:
        # Protocol 4 and 5 say how long a name is and how long the frame that it is in.
        for name in (b"multiarray", b"numeric"):
            old, new = b"numpy._core." + name, b"numpy.core." + name
            if protocol < 4:
                data = data.replace(old, new)
            elif old in data:
                data = data.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)
                length = int.from_bytes(data[3:11], "little") - 1
                data = data[:3] + length.to_bytes(8, "little") + data[11:]
    return data


def stored(value: Any, **how: Any) -> Any:
    """A value of a result, as it went to the database."""
    if isinstance(value, np.ndarray):
        return bson.Binary(pickled(value, **how))
    if isinstance(value, pd.DataFrame):
        return value.to_json()
    if isinstance(value, dict):
        return {name: stored(member, **how) for name, member in value.items()}
    return value


def original(
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    flow_id: str = "3c1a2d0e-5f0b-4c8e-9d43-0a5a4d8e7b11",
    kind: str = GENERIC,
    **fields: Any,
) -> dict[str, Any]:
    """A whole document, without the id that MongoDB gives it."""
    named = {"inputs": stored(inputs), "outputs": stored(outputs), "flow_id": flow_id}
    md5 = hashlib.md5(json.dumps(named, default=str).encode()).hexdigest()
    return {
        "project_name": "generic",
        "flow_id": flow_id,
        "inputs": named["inputs"],
        "outputs": named["outputs"],
        "date_modified": WHEN,
        "unique_hash": md5,
        "result_type_string": kind,
        **stored(fields),
    }


def file_record(kind: str, filename: str) -> dict[str, str]:
    """A file, as 0.x recorded it."""
    return {
        "filename": filename,
        "file_type_string": f"lume_services.files.file:File[{kind}Serializer]",
        "filesystem_identifier": "local",
    }
