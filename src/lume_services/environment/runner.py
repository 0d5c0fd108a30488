"""Evaluates a packaged model in the environment of its package: a program, and its protocol.

It is started with the Python of that environment, by its path, and so imports nothing of
LUME-services: the standard library alone, and numpy where arrays are sent. What both sides of the
protocol need, and what a model is, is said here once; the rest of the package imports it.

Messages go both ways through pipes. One is a line of JSON, and then the bytes of what JSON has no
word for; where these are more than 1 MiB, they are in a file, which who receives it deletes::

    {"inputs": {"k1": 0.7, "beam": {"%array": ["<f8", [6, 100], 0]}}, "bytes": 4800}
    {"outputs": {"emittance": {"%array": ["<f8", [], 0]}}, "file": "/dev/shm/lume-…/1"}

The first message names the model, ``{"entry_point": "ring.model:Ring", "path": [folder, …]}``, and
the answer says what it is: ``variables``, ``python``, ``packages``. Each further one has ``inputs``
and is answered by ``outputs``, ``started`` and ``duration_s``. In the place of any answer there may
be ``error``: ``type``, ``message`` and ``traceback``. The program ends when its input does.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

__all__ = [
    "Channel",
    "check_can_be_sent",
    "end_with_parent",
    "evaluation_of",
    "held_values",
    "keep_from_forks",
    "made",
    "schema",
    "variables_of",
]

_IN_A_FILE = 1 << 20
_KINDS_OF_ARRAYS = "biufcSUmM"
_BITS = 10_000  # what every Python reads of JSON


# --- What a model is -----------------------------------------------------------------------------


def made(model: Any) -> Any:
    """The model, of its class or as it is.

    Raises:
        TypeError: Its class cannot be made without arguments.
    """
    return model() if inspect.isclass(model) else model


def variables_of(model: Any) -> dict[str, Any]:
    """The variables of a LUMEModel, or the lists of them that lume-torch models have."""
    supported = getattr(model, "supported_variables", None)
    if isinstance(supported, Mapping):
        return dict(supported)
    variables: dict[str, Any] = {}
    for attribute, read_only in (("input_variables", False), ("output_variables", True)):
        declared: Any = getattr(model, attribute, None) or ()
        for variable in declared.values() if isinstance(declared, Mapping) else declared:
            variables[variable.name] = variable.model_copy(update={"read_only": read_only})
    return variables


def evaluation_of(
    model: Any, variables: Mapping[str, Any]
) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    """What takes inputs by name and gives outputs by name.

    Raises:
        TypeError: It is no model.
    """
    if _is_lume_model(model):
        outputs = [name for name, variable in variables.items() if variable.read_only]
        return lambda inputs: _run_lume_model(model, inputs, outputs)
    if callable(evaluate := getattr(model, "evaluate", None)):
        return evaluate  # type: ignore[no-any-return]  # what it returns is checked on each call
    if callable(model):
        return model  # type: ignore[no-any-return]  # likewise
    raise TypeError(
        f"{type(model).__name__} is not a model: it is no LUMEModel, has no evaluate(dict) "
        "and cannot be called"
    )


def held_values(model: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a LUMEModel holds now of the inputs that have no default."""
    held = {}
    for name, variable in variables.items() if _is_lume_model(model) else ():
        if not variable.read_only and getattr(variable, "default_value", None) is None:
            # A simulator that has not run yet may raise anything.
            with suppress(Exception):
                held[name] = model.get_value(name)
    return held


def schema(variable: Any) -> dict[str, Any]:
    """A variable as plain data, for the registry."""
    try:
        return dict(variable.model_dump(mode="json"))
    except Exception:  # a variable of a laboratory's own, with what JSON cannot hold
        kept = ("name", "description", "read_only", "unit", "value_range", "shape")
        known = {name: getattr(variable, name, None) for name in kept}
        return {"variable_class": type(variable).__name__} | {
            name: value for name, value in known.items() if value is not None
        }


def _is_lume_model(model: Any) -> bool:
    lume = sys.modules.get("lume.model")
    return lume is not None and isinstance(model, lume.LUMEModel)


def _run_lume_model(model: Any, inputs: dict[str, Any], outputs: list[str]) -> Mapping[str, Any]:
    actions = sys.modules.get("lume.actions")
    # An ActionModel's own reset writes the defaults, None where there is none; every input is set
    # below in any case.
    if actions is None or getattr(type(model), "reset", None) is not actions.ActionModel.reset:
        model.reset()
    model.set(inputs)
    # A StagedModel leaves the stages after a changed one stale until it is run from the start.
    if run_start_to_end := getattr(model, "run_start_to_end", None):
        run_start_to_end()
    return model.get(outputs)  # type: ignore[no-any-return]  # lume-base is untyped here


# --- Messages ------------------------------------------------------------------------------------


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


# --- The program ---------------------------------------------------------------------------------


def main() -> None:
    """Serve the one model that the first message names."""
    requests, answers = os.dup(0), os.dup(1)
    # What the model prints must not get between the messages.
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    folder, lifeline = sys.argv[1], int(sys.argv[2])
    end_with_parent(lifeline, folder)
    keep_from_forks(requests, answers, lifeline)
    channel = Channel(os.fdopen(requests, "rb"), os.fdopen(answers, "wb"), Path(folder))
    with suppress(EOFError, BrokenPipeError):
        _serve(channel)
    os._exit(0)  # threads that a model has left behind are not waited for


def end_with_parent(lifeline: int, folder: str | None = None) -> None:
    """End when the pipe that the parent holds is closed, which it is however the parent ends.

    Args:
        lifeline: The pipe.
        folder: A folder to remove then.
    """

    def wait() -> None:
        os.read(lifeline, 1)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)  # what the model has started as well

    os.set_inheritable(lifeline, False)
    threading.Thread(target=wait, daemon=True).start()


def keep_from_forks(*descriptors: int) -> None:
    """Close these in processes that are forked from this one.

    With a copy of a pipe's end in one of them, who is at the other end would wait for it.
    """

    def close() -> None:
        for one in descriptors:
            with suppress(OSError):
                os.close(one)

    os.register_at_fork(after_in_child=close)


def _serve(channel: Channel) -> None:
    try:
        request = channel.receive()
        sys.path[:0] = request["path"]
        model = made(_found(request["entry_point"]))
        variables = variables_of(model)
        evaluate = evaluation_of(model, variables)
        described = {name: schema(variable) for name, variable in variables.items()}
        held = held_values(model, variables)
        answer = {"variables": described, "held": held, **_environment()}
    except EOFError:
        raise
    except BaseException as error:  # a module may raise anything while it is imported
        channel.send(_described(error))
        return
    channel.send(answer)
    while True:
        try:
            request = channel.receive()
        except EOFError:
            raise
        except Exception as error:  # of a library that is not here, or is another
            channel.send(_described(error))
            continue
        started = datetime.now(timezone.utc)
        clock = time.perf_counter()
        try:
            outputs = evaluate(request["inputs"])
            took = time.perf_counter() - clock
            if not isinstance(outputs, Mapping):
                raise TypeError(
                    f"the model returned {type(outputs).__name__}, not a dictionary of outputs by "
                    "name"
                )
            answer = {"outputs": dict(outputs), "started": started, "duration_s": took}
            channel.send(answer)
        except BrokenPipeError:
            raise
        except BaseException as error:  # whatever the model raises is recorded
            took = time.perf_counter() - clock
            channel.send({**_described(error), "started": started, "duration_s": took})


def _found(entry_point: str) -> Any:
    module_name, _, name = entry_point.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _environment() -> dict[str, Any]:
    from importlib.metadata import distributions

    packages = {f"{one.metadata['Name']}=={one.version}" for one in distributions()}
    return {"python": sys.version.split()[0], "packages": sorted(packages, key=str.lower)}


def _described(error: BaseException) -> dict[str, Any]:
    try:
        message = str(error)
    except Exception:  # a broken __str__ must not hide that the model failed
        message = f"(a {type(error).__name__} that cannot be shown)"
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    described = {
        "type": name[len("builtins.") :] if name.startswith("builtins.") else name,
        "message": message,
        "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    }
    # Messages quote file names and data, which may not be valid Unicode.
    return {
        "error": {name: text.encode(errors="replace").decode() for name, text in described.items()}
    }


if __name__ == "__main__":
    main()
