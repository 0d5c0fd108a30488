"""A worker of this project, as its command starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
MODELS = (ROOT / "src", ROOT, ROOT / "examples/flow_of_flows")
"""Where jobs import flows from, beside what is installed."""


class Worker:
    """``lume-services worker start`` with given variables, ended with its jobs.

    Args:
        folder: For its log.
        variables: The ``LUME_*`` variables that it, and its jobs, are configured by.
        arguments: Further arguments of the command.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], *arguments: str) -> None:
        self.log = folder / "worker.log"
        self.variables = variables
        self.arguments = arguments

    def start(self) -> Self:
        """Start it and wait until it asks for runs."""
        others = {name: text for name, text in os.environ.items() if not name.startswith("LUME_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lume_services", "worker", "start", *self.arguments],
                env={
                    **others,
                    **self.variables,
                    "PYTHONPATH": os.pathsep.join(map(str, MODELS)),
                    "PREFECT_WORKER_QUERY_SECONDS": "0.5",
                    "PREFECT_HOME": str(self.log.parent / "prefect"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        deadline = time.monotonic() + 60
        while "started" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it, and after a while its jobs."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it, and its jobs."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _end(self, by: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, by)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
