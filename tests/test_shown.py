"""A test that shows the password of a server fails, however it shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Another password than the one that is searched for in this run.
CONFTEST = """
from tests.servers import Server
Server.password = "an0ther:0ne"
from tests.shown import pytest_runtest_makereport, watched
"""
HEADER = """
import logging, subprocess
from urllib.parse import quote
import pytest
from lume_services.errors import ResultsDBUnavailableError
from tests.servers import Server
def test_it():
    """
WAYS = {
    "print": "print('mongodb://' + Server.password)",
    "log": "logging.getLogger('x').warning('as %r', Server.password)",
    "quoted": "print(quote(Server.password))",
    "error": """with pytest.raises(OSError):
        raise ResultsDBUnavailableError(Server.password)""",
    "output": "subprocess.run(['cat'], input=Server.password.encode(), capture_output=True)",
    "process": "subprocess.run(['sh', '-c', 'sleep 0.5', Server.password])",
}


def run(folder: Path, body: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(f"{HEADER}{body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), "-c", "/dev/null"]
    done = subprocess.run(
        [*command, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_secret_that_is_shown_fails_the_test(way: str, tmp_path: Path) -> None:
    code, output = run(tmp_path, WAYS[way])
    assert code == 1, output
    assert "A secret was shown" in output


def test_others_pass(tmp_path: Path) -> None:
    code, output = run(tmp_path, "print('mongodb://user:**********@host')")
    assert code == 0, output
