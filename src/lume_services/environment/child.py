"""Programs of this project that run with the Python of an environment, and end with us."""

from __future__ import annotations

import os
import signal
import subprocess
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["Child", "variables_for"]

_NOT_FOR_MODELS = ("LUME_", "PREFECT_", "PYTHON")


class Child:
    """A program that is asked on its standard input and answers on its standard output.

    It leads a process group of its own: with it, all that it has started is ended. Its last
    argument is the number of a pipe, whose other end is held here; it sees that end closed when
    this process is gone, however that came about.

    Args:
        command: The program and its arguments.
        environment: Its variables.
        at_end: What is to be done once it has ended.

    Attributes:
        process: The process.
        requests: Its standard input.
        answers: Its standard output.
        end: Ends it, and all that it has started; done when this object is gone, too.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        theirs, ours = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*command, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[theirs],
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            at_end()
            raise
        finally:
            os.close(theirs)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests: IO[bytes] = self.process.stdin
        self.answers: IO[bytes] = self.process.stdout
        self._owner = os.getpid()
        self.end = weakref.finalize(self, _end, self._owner, self.process, ours, at_end)

    def is_mine_and_alive(self) -> bool:
        """Whether it is alive, and this process started it, not one that it was forked from."""
        return self._owner == os.getpid() and self.process.poll() is None


def _end(
    owner: int, process: subprocess.Popen[bytes], lifeline: int, at_end: Callable[[], object]
) -> None:
    if owner != os.getpid():
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it has nothing to save
    process.wait()
    os.close(lifeline)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not sent any more
                stream.close()
    at_end()


def variables_for(python: Path) -> dict[str, str]:
    """The variables of a program in an environment: no settings of ours, which hold secrets.

    Args:
        python: The Python of the environment.
    """
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
