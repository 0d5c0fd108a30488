"""One end of the protocol, and values on their way."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

__all__ = ["Channel", "check_can_be_sent"]

_IN_A_FILE = 1 << 20
_KINDS_OF_ARRAYS = "biufcSUmM"
_BITS = 10_000  # what every Python reads of JSON


class Channel:
    """One end of the protocol.

    Args:
        reader: What the other end writes.
        writer: What the other end reads.
        folder: Where large messages are put.
    """

    def __init__(self, reader: IO[bytes], writer: IO[bytes], folder: Path) -> None:
        self._reader = reader
        self._writer = writer
        self._folder = folder

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            TypeError: A value of it cannot be sent; nothing has been.
            OSError: The other end is gone.
        """
        data = bytearray()
        header = {name: _packed(value, data) for name, value in message.items()}
        if len(data) > _IN_A_FILE:
            header["file"] = str(self._written(data))
            data.clear()
        header["bytes"] = len(data)
        self._writer.write(json.dumps(header).encode() + b"\n")
        self._writer.write(data)
        self._writer.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            EOFError: The other end is gone.
        """
        line = self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        header = json.loads(line)
        data = bytearray(self._reader.read(size := header.pop("bytes")))
        if len(data) < size:
            raise EOFError
        if name := header.pop("file", None):
            file = Path(name)
            data = bytearray(file.stat().st_size)
            with file.open("rb", buffering=0) as stream:
                view, done = memoryview(data), 0
                while done < len(data) and (read := stream.readinto(view[done:])):
                    done += read
            file.unlink()
        return {name: _unpacked(value, memoryview(data)) for name, value in header.items()}

    def _written(self, data: bytearray) -> Path:
        """A file with these bytes: in shared memory, or on the disk where that is too small."""
        has_room = shutil.disk_usage(self._folder).free > 2 * len(data)
        descriptor, name = tempfile.mkstemp(
            prefix="lume-", dir=self._folder if has_room else tempfile.gettempdir()
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except BaseException:
            Path(name).unlink()
            raise
        return Path(name)


def check_can_be_sent(value: Any) -> None:
    """See whether a value arrives as it is.

    Raises:
        TypeError: It does not.
    """
    _packed(value, bytearray())


def _packed(value: Any, data: bytearray) -> Any:
    """A value as JSON; what JSON has no word for goes to the end of ``data``."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if type(value) is float or (type(value) is int and value.bit_length() < _BITS):
        return value
    if type(value) is complex:
        return {"%complex": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"%bytes": [_appended(value, data), len(value)]}
    if isinstance(value, Mapping):
        if all(isinstance(name, str) and not name.startswith("%") for name in value):
            return {name: _packed(one, data) for name, one in value.items()}
        return {"%dict": [[_packed(name, data), _packed(one, data)] for name, one in value.items()]}
    if isinstance(value, tuple):
        return {"%tuple": [_packed(one, data) for one in value]}
    if isinstance(value, list):
        return [_packed(one, data) for one in value]
    kinds = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(value).__mro__}
    if ("pandas", "Timestamp") in kinds:
        value = value.to_pydatetime()
    if type(value) is datetime:
        return {"%datetime": value.isoformat()}
    if ("torch", "Tensor") in kinds:
        value = value.detach().cpu().numpy()
    if kinds & {("beamphysics", "ParticleGroup"), ("pmd_beamphysics", "ParticleGroup")}:
        with tempfile.TemporaryDirectory() as folder:
            value.write(str(file := Path(folder) / "particles.h5"))
            return {"%particles": _packed(file.read_bytes(), data)}
    if ("pandas", "DataFrame") in kinds:
        return {"%frame": _packed_frame(value, data)}
    return _packed_array(value, data)


def _packed_array(value: Any, data: bytearray) -> Any:
    import numpy as np

    kind = value.dtype.kind if isinstance(value, (np.ndarray, np.generic)) else ""
    # A masked array, say, is one with more to it than its numbers.
    is_plain = type(value) is np.ndarray or isinstance(value, np.generic)
    if not is_plain or kind not in _KINDS_OF_ARRAYS:
        what = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TypeError(f"a {what}{f' of {value.dtype}' if kind else ''} cannot be sent")
    array = np.asarray(value, order="C")
    place = _appended(array.reshape(-1).view(np.uint8).data, data)
    tag = "%array" if type(value) is np.ndarray else "%scalar"
    return {tag: [array.dtype.str, list(array.shape), place]}


def _packed_frame(frame: Any, data: bytearray) -> Any:
    import pandas as pd

    for axis in (frame.index, frame.columns):
        if isinstance(axis, pd.MultiIndex) or not axis.is_unique:
            raise TypeError(
                "a frame with an index of several levels, or twice the same, cannot be sent"
            )
    return [
        _packed_column(frame.index, data),
        _packed(frame.index.name, data),
        _packed(frame.columns.name, data),
        [[_packed(name, data), _packed_column(frame[name], data)] for name in frame.columns],
    ]


def _packed_column(column: Any, data: bytearray) -> list[Any]:
    kind = getattr(column.dtype, "kind", "")
    if column.dtype == getattr(column.to_numpy(), "dtype", None) and kind in _KINDS_OF_ARRAYS:
        return ["", _packed(column.to_numpy(), data)]
    if str(column.dtype) not in ("object", "str", "string"):
        raise TypeError(f"a frame with a column of {column.dtype} cannot be sent")
    # Not by name where it is how this pandas takes texts: the other may be of another time.
    name = "object" if str(column.dtype) == "object" else "str"
    return [name, _packed(column.tolist(), data)]


def _appended(value: Any, data: bytearray) -> int:
    place = len(data)
    data += value
    return place


def _unpacked(value: Any, data: memoryview) -> Any:
    if isinstance(value, list):
        return [_unpacked(one, data) for one in value]
    if not isinstance(value, dict):
        return value
    content: Any
    ((tag, content),) = value.items() if len(value) == 1 else (("", None),)
    if not tag.startswith("%"):
        return {name: _unpacked(one, data) for name, one in value.items()}
    if tag in ("%array", "%scalar"):
        import numpy as np

        dtype, shape, place = content
        array = np.ndarray(shape, dtype, data, place)
        return array.copy() if tag == "%array" else array[()]  # aligned, and of its own
    if tag == "%bytes":
        return bytes(data[content[0] : content[0] + content[1]])
    if tag == "%complex":
        return complex(*content)
    if tag == "%datetime":
        return datetime.fromisoformat(content)
    content = _unpacked(content, data)
    if tag == "%tuple":
        return tuple(content)
    if tag == "%dict":
        return {tuple(name) if isinstance(name, list) else name: one for name, one in content}
    if tag == "%frame":
        return _unpacked_frame(*content)
    assert tag == "%particles", tag
    return _particles(content)


def _unpacked_frame(index: Any, index_name: Any, columns_name: Any, columns: Any) -> Any:
    import pandas as pd

    rows = _unpacked_column(*index)
    named = {name: pd.Series(_unpacked_column(*column), rows) for name, column in columns}
    frame = pd.DataFrame(named, index=rows, columns=pd.Index(list(named), name=columns_name))
    frame.index.name = index_name
    return frame


def _unpacked_column(dtype: str, values: Any) -> Any:
    import pandas as pd

    return pd.Index(values, dtype=dtype) if dtype else pd.Index(values)


def _particles(content: bytes) -> Any:
    try:
        from beamphysics import ParticleGroup
    except ModuleNotFoundError:  # as it was called before 0.10
        from pmd_beamphysics import ParticleGroup
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "particles.h5").write_bytes(content)
        return ParticleGroup(str(file))
