"""What the servers have in common: a process that is started, asked for, and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NoReturn, Self
from urllib.parse import quote

import pytest

_PATIENCE_S = 60
_PAUSE_S = 0.02


class Server(ABC):
    """A server on loopback.

    Args:
        folder: Where it keeps its data and its log.
        arguments: Further arguments of its program.
    """

    program: ClassVar[str]
    install: ClassVar[str]
    """The command that installs the program."""
    stops_by: ClassVar[signal.Signals] = signal.SIGTERM
    """What makes it end in good order at once."""

    host = "127.0.0.1"
    user = "lume"
    # What a URL has to escape is in it, and nothing that is printed elsewhere looks like it.
    password = "n0t:2/be@sh0wn%41"

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.arguments = arguments
        self.log = self.folder / f"{type(self).__name__}.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    @abstractmethod
    def ask(self) -> None:
        """Ask it something; raise whatever when it does not answer yet."""

    @abstractmethod
    def url(self, name: str) -> str:
        """The URL, with user and password, of a new, empty database (or folder) of that name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove what ``url`` made."""

    def environment(self) -> dict[str, str]:
        """The variables that it runs with."""
        return dict(os.environ)

    def prepare(self) -> None:  # noqa: B027 - some make their own
        """Make its data folder, before the first start."""

    def connect(self) -> None:
        """Open a connection: without a server this fails sooner than its driver does."""
        with socket.create_connection((self.host, self.port), timeout=1):
            pass

    def start(self) -> Self:
        """Start it, on the data it has, and wait until it answers."""
        prepared = self.folder / ".prepared"
        if not prepared.exists():
            self.prepare()
            prepared.touch()
        command = self.command()
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with self.log.open("ab") as log:
                # Stays out of our process group, so that Ctrl-C stops the tests first.
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                    env=self.environment(),
                )
            self._finalizer = weakref.finalize(self, _end, self.process)
            if self._answers(deadline):
                return self
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(
                    f"{self.program} does not answer on port {self.port}:\n"
                    + self.log.read_text(errors="replace")[-3000:]
                )
            # It ended by itself: just after a kill its port or lock may be taken for a moment.
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop it in good order; nothing happens when it does not run."""
        self._end(self.stops_by)

    def kill(self) -> None:
        """Kill it without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def credentials(self) -> str:
        """``user:password@host:port`` as URLs write it."""
        return f"{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}"

    @classmethod
    def executable(cls, *elsewhere: str) -> str:
        """The path of its program, which may be in one of the other folders."""
        folders = [os.environ.get("PATH", ""), str(Path(sys.executable).parent), "/usr/sbin"]
        found = shutil.which(cls.program, path=os.pathsep.join([*folders, *elsewhere]))
        return found or missing(cls.program, cls.install)

    def _answers(self, deadline: float) -> bool:
        assert self.process is not None
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect()
                self.ask()
            except Exception:  # Every driver says in its own way that it is not there yet.
                time.sleep(_PAUSE_S)
            else:
                return self.process.poll() is None
        return False

    def _end(self, by: signal.Signals) -> None:
        if self.process is not None:
            self._finalizer.detach()
            _end(self.process, by)
            self.process = None


def missing(program: str, install: str) -> NoReturn:
    """Skip the test for want of a program; fail it where everything has to be there."""
    reason = f"{program} is not installed. Run: {install}"
    if os.environ.get("LUME_TEST_REQUIRE_SERVICES"):
        pytest.fail(reason)
    pytest.skip(reason)


def _end(process: subprocess.Popen[bytes], by: signal.Signals = signal.SIGTERM) -> None:
    process.send_signal(by)
    try:
        process.wait(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
