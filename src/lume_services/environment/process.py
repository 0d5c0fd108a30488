"""A packaged model in a process of its own, with the Python of its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

from lume_services.environment import runner
from lume_services.environment.runner import Channel
from lume_services.errors import InvalidInputError, ModelFailedError, PackageError

__all__ = ["Description", "Evaluation", "ModelProcess"]

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
_END_S: Final = 2.0
_NOT_FOR_MODELS: Final = ("LUME_", "PREFECT_", "PYTHON")


@dataclass(frozen=True)
class Description:
    """What a model says of itself, and where it runs."""

    variables: dict[str, dict[str, Any]]
    """Schema of each variable by name."""
    held: dict[str, Any]
    """Values that a LUMEModel holds of inputs that have no default."""
    python: str
    """Version of Python."""
    packages: list[str]
    """What is installed there, ``name==version``, sorted."""


@dataclass(frozen=True)
class Evaluation:
    """What came of one evaluation."""

    started: datetime
    """UTC."""
    duration_s: float
    """Of the model alone."""
    outputs: Mapping[str, Any]
    error: dict[str, str] | None = None
    """``type``, ``message`` and ``traceback`` of what the model raised."""


class ModelProcess:
    """Evaluates a packaged model; the process is started on first use, and again when it died.

    Any number of threads may use it; it evaluates one after the other.

    Args:
        python: The Python of the environment.
        path: Folders with the package, searched before those of the environment.
        entry_point: ``module:name`` of the model.
    """

    def __init__(self, python: Path, path: Sequence[Path], entry_point: str) -> None:
        self._python = python
        self._first = {"entry_point": entry_point, "path": [str(folder) for folder in path]}
        self._entry_point = entry_point
        self._lock = Lock()
        self._started: _Started | None = None
        self._description: Description | None = None

    def describe(self) -> Description:
        """Load the model, unless it is, and say what it is.

        Raises:
            PackageError: It cannot be loaded; the message says what its package raised.
        """
        with self._lock:
            self._channel()
            assert self._description is not None
            return self._description

    def evaluate(self, inputs: Mapping[str, Any]) -> Evaluation:
        """Evaluate the model.

        Raises:
            InvalidInputError: A value cannot be sent to another process.
            ModelFailedError: The process died.
            PackageError: The model cannot be loaded.
        """
        with self._lock:
            channel = self._channel()
            try:
                try:
                    channel.send({"inputs": dict(inputs)})
                except TypeError as error:
                    raise InvalidInputError(f"inputs: {error} to the model's process") from None
                answer = channel.receive()
            except InvalidInputError:
                raise
            except (EOFError, OSError):
                raise ModelFailedError(self._died()) from None
            except BaseException:  # an interrupt: what it would answer next is for nobody
                self._end()
                raise
        return Evaluation(
            answer["started"],
            answer["duration_s"],
            answer.get("outputs", {}),
            answer.get("error"),
        )

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._end()

    def _channel(self) -> Channel:
        if self._started is None or not self._started.is_mine_and_alive():
            self._end()
            self._started = _Started(self._python)
            try:
                self._started.channel.send(self._first)
                answer = self._started.channel.receive()
            except (EOFError, OSError):
                raise PackageError(f"{self._entry_point}: {self._died()}") from None
            except BaseException:
                self._end()
                raise
            if error := answer.get("error"):
                self._end()
                raised = PackageError(
                    f"{self._entry_point} cannot be loaded: {error['type']}: {error['message']}"
                )
                raised.add_note(error["traceback"].rstrip())
                raise raised
            self._description = Description(**answer)
        return self._started.channel

    def _died(self) -> str:
        started = self._started
        if started is None:
            return "the model's process was ended"
        try:
            code: int | str = started.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = "none yet"
        self._end()
        return f"the model's process died (exit code {code}); what it printed may say why"

    def _end(self) -> None:
        started, self._started = self._started, None
        if started is not None:
            started.end()


class _Started:
    """The process and the channel to it; both go with this object."""

    def __init__(self, python: Path) -> None:
        shared = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="lume-", dir=shared))
        lifeline, ours = os.pipe()  # the process ends when our end of it is closed
        try:
            self.process = subprocess.Popen(
                [python, "-I", runner.__file__, str(lifeline), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[lifeline],
                env=_environment(python),
            )
        except BaseException:
            os.close(ours)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(lifeline)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.channel = Channel(self.process.stdout, self.process.stdin, folder)
        self._owner = os.getpid()
        self.end = weakref.finalize(self, _end, self._owner, self.process, ours, folder)

    def is_mine_and_alive(self) -> bool:
        """Whether this process started it, and not one that it was forked from."""
        return self._owner == os.getpid() and self.process.poll() is None


def _end(owner: int, process: subprocess.Popen[bytes], lifeline: int, folder: Path) -> None:
    if owner != os.getpid():
        return
    os.close(lifeline)
    process.kill()  # it has nothing to save
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not sent any more
                stream.close()
    shutil.rmtree(folder, ignore_errors=True)


def _environment(python: Path) -> dict[str, str]:
    """The variables of the process: no settings of ours, whose secrets are none of a model's."""
    own = {
        name: text
        for name, text in os.environ.items()
        if not name.upper().startswith(_NOT_FOR_MODELS)
    }
    programs = str(python.parent)
    return {
        **own,
        "PATH": os.pathsep.join(filter(None, (programs, own.get("PATH")))),
        "VIRTUAL_ENV": str(python.parent.parent),
    }
