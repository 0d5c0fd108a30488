"""A packaged model in a process of its own, with the Python of its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

from lume_services.environment import lume_inside
from lume_services.environment.child import Child, variables_for
from lume_services.environment.lume_inside.channel import Channel, check_can_be_sent
from lume_services.errors import InvalidInputError, ModelFailedError, PackageError

__all__ = ["Description", "Evaluation", "ModelProcess"]

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
_FOLDER: Final = Path(lume_inside.__file__).parents[1]
_PROGRAM: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from lume_inside.program import main
del sys.path[0]
main()
"""
"""What finds the program in our folder, and leaves no other module of it to be found."""
_END_S: Final = 2.0


class HasPackage(Protocol):
    """What a model runs in: an ``Environment``, or the like."""

    @property
    def python(self) -> Path:
        """Its Python."""

    @property
    def package(self) -> Path:
        """Folder to import the package from, searched before those of that Python."""


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
        environment: The environment, with the package.
        entry_point: ``module:name`` of the model.
    """

    def __init__(self, environment: HasPackage, entry_point: str) -> None:
        self._environment = environment  # which stays while this object lives
        self._python = environment.python
        self._first = {"entry_point": entry_point, "path": [str(environment.package)]}
        self._entry_point = entry_point
        self._lock = Lock()
        self._child: Child | None = None
        self._channel: Channel | None = None
        self._description: Description | None = None

    def describe(self) -> Description:
        """Load the model, unless it was loaded before, and say what it is.

        Raises:
            PackageError: It cannot be loaded; the message says what its package raised.
        """
        if self._description is None:
            with self._lock:
                self._open()
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
            channel = self._open()
            try:
                channel.send({"inputs": dict(inputs)})
                answer = channel.receive()
            except TypeError:  # nothing has been sent
                _check_inputs(inputs)
                raise
            except EOFError:
                raise ModelFailedError(self._died()) from None
            except Exception as error:  # what it has sent cannot be made here
                self._end()
                raise ModelFailedError(
                    f"The exchange with the model's process failed: {type(error).__name__}: {error}"
                ) from error
            except BaseException:  # an interrupt: what it would answer next is for nobody
                self._end()
                raise
        return Evaluation(
            answer.get("started") or datetime.now(UTC),
            answer.get("duration_s", 0.0),
            answer.get("outputs", {}),
            answer.get("error"),
        )

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._end()

    def _open(self) -> Channel:
        if self._child is None or not self._child.is_mine_and_alive():
            self._end()
            channel = self._start()
            try:
                channel.send(self._first)
                answer = channel.receive()
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
            self._channel = channel
        assert self._channel is not None
        return self._channel

    def _start(self) -> Channel:
        shared = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="lume-", dir=shared))
        # Unbuffered, so that what the model prints is shown as it comes.
        command = (self._python, "-I", "-u", "-c", _PROGRAM, _FOLDER, folder)
        self._child = Child(
            command,
            variables_for(self._python),
            partial(shutil.rmtree, folder, ignore_errors=True),
        )
        return Channel(self._child.answers, self._child.requests, folder)

    def _died(self) -> str:
        child = self._child
        if child is None:
            return "The model's process was ended."
        try:
            code: int | str = child.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = "none yet"
        self._end()
        return f"The model's process died (exit code {code}); what it printed may say why."

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


def _check_inputs(inputs: Mapping[str, Any]) -> None:
    for name, value in inputs.items():
        try:
            check_can_be_sent(value)
        except TypeError as error:
            raise InvalidInputError(f"{name}: {error} to the model's process") from None
