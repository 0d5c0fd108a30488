"""One line about a value of any size, whether it is loaded or only its document is there."""

from __future__ import annotations

from typing import Any

__all__ = ["summary"]

_LENGTH = 60


def summary(value: Any) -> str:
    """A value in some 60 characters at most.

    Numbers and short text are shown as they are, arrays and the like by type and shape.

    Args:
        value: A value, or the document of one.
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return _shortened(value)
    if isinstance(value, dict):
        if "%kind" in value:
            return _tagged(value)
        if "%blob" in value:
            return f"bytes, {_size(value)}"
        return f"{len(value)} names"
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(summary, value[:10]))}]"
        return text if len(value) <= 10 and len(text) <= _LENGTH else f"list of {len(value)}"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    shape = getattr(value, "shape", None)
    if shape is not None:
        dtype = getattr(value, "dtype", "")
        return f"{type(value).__name__} {dtype}".rstrip() + f" {_shape(shape)}"
    return _shortened(str(value))


def _tagged(document: dict[str, Any]) -> str:
    kind, data = document["%kind"], document.get("data")
    if isinstance(document.get("shape"), list):
        return f"{kind} {document.get('dtype')} {_shape(document['shape'])}"
    if isinstance(data, dict):
        return f"{kind}, {_size(data)}"
    if isinstance(data, (bytes, bytearray)):
        return f"{kind}, {len(data)} bytes"
    return _shortened(f"{kind} {data if data is not None else ''}".strip())


def _size(reference: dict[str, Any]) -> str:
    return f"{reference.get('size')} bytes"


def _shape(shape: Any) -> str:
    return f"({', '.join(map(str, shape))})"


def _shortened(text: str) -> str:
    text = " ".join(text[: 4 * _LENGTH].split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
