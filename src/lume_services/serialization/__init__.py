"""Values to documents and back: what a results store holds, and how a value is hashed.

A *document* is what every store can keep: a dict of text to None, bool, 64-bit int, float, str,
datetime (UTC, milliseconds), bytes, and lists and dicts of these. :func:`encode` turns a value
into one and :func:`decode` is its inverse. A value that is none of these becomes a *tagged*
dict, ``{"%kind": "ndarray", "dtype": "<f8", "shape": [3], "data": b"..."}``. Names given by users
cannot collide with such keys: :func:`encode_name` leaves no bare ``%`` in them.

A *blob* is a run of bytes that a store keeps beside its documents under its sha256. In a document
``{"%blob": "<sha256>", "size": n}`` stands where the bytes would have stood. Bytes longer than
:data:`BLOB_THRESHOLD` become one; so does, by :func:`fit`, whatever would make a document too large
for a store. A hash is made before that, and does not depend on where things are kept.

Nothing is ever unpickled, imported or evaluated because a document says so, apart from the codecs
that are named in the plugin table.
"""

from __future__ import annotations

from lume_services.serialization._blobs import (
    BLOB_THRESHOLD,
    GetBlob,
    PutBlob,
    blob_digests,
    canonical_hash,
    from_json,
    hash_only,
    to_json,
)
from lume_services.serialization._codecs import Codec, register
from lume_services.serialization._decode import decode
from lume_services.serialization._encode import encode
from lume_services.serialization._fit import DOCUMENT_LIMIT, document_size, fit, unfit
from lume_services.serialization._names import decode_name, encode_name

__all__ = [
    "BLOB_THRESHOLD",
    "DOCUMENT_LIMIT",
    "Codec",
    "GetBlob",
    "PutBlob",
    "blob_digests",
    "canonical_hash",
    "decode",
    "decode_name",
    "document_size",
    "encode",
    "encode_name",
    "fit",
    "from_json",
    "hash_only",
    "register",
    "to_json",
    "unfit",
]
