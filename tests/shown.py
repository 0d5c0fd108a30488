"""No test may show a secret: what the suite shows is searched for the servers' password.

Searched are what tests print and log, what commands print, the errors that this package raises,
whether or not anybody prints them, and the command lines of all processes meanwhile.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from lume_services.errors import LUMEServicesError
from tests.servers import Server

SECRETS = frozenset({Server.password, quote(Server.password, safe=""), quote_plus(Server.password)})
_PAUSE_S = 0.1

leaks: list[str] = []
"""Where a secret was seen in the test that runs."""


def search(where: str, text: object) -> None:
    """Remember the place when there is a secret in the text."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    if any(secret in text for secret in SECRETS):
        leaks.append(f"{where}: {text[-2000:]}")


@pytest.fixture(scope="session", autouse=True)
def watched() -> Iterator[None]:
    """Search what does not end up in the output of a test."""
    with pytest.MonkeyPatch.context() as patch:
        communicate = subprocess.Popen.communicate
        init = LUMEServicesError.__init__

        def searched_communicate(self: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = communicate(self, *args, **kwargs)
            search(f"output of {self.args}", outputs)
            return outputs

        def searched_init(self: Any, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **kwargs)
            search(f"{type(self).__name__}", args)

        patch.setattr(subprocess.Popen, "communicate", searched_communicate)
        patch.setattr(LUMEServicesError, "__init__", searched_init)
        done = threading.Event()
        watcher = threading.Thread(target=_watch_processes, args=(done,), daemon=True)
        watcher.start()
        yield
        done.set()
        watcher.join()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Fail a test that showed a secret."""
    report = yield
    for title, text in report.sections:
        search(title, text)
    if report.failed:
        search("its failure", report.longreprtext)
    if leaks:
        report.outcome = "failed"
        report.longrepr = "A secret was shown.\n" + "\n".join(leaks)
        leaks.clear()
    return report


def _watch_processes(done: threading.Event) -> None:
    while not done.wait(_PAUSE_S):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                search("a command line", path.read_bytes().replace(b"\0", b" "))
            except OSError:  # it has ended
                continue
