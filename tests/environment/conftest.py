"""A checkout that can be built anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environment.archives import FILES

# A build that needs nothing to be installed: what it makes is all that is looked at.
BACKEND = """\
import tarfile
def build_sdist(folder, settings=None):
    print("the backend says hello")
    if open("flag").read() == "bad":
        raise SystemExit("no compiler")
    with tarfile.open(f"{folder}/my_model-1.2.0.tar.gz", "w:gz") as tar:
        tar.add(".", "my_model-1.2.0")
    return "my_model-1.2.0.tar.gz"
"""
BUILD_SYSTEM = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a proper package; its build fails when the file ``flag`` says so."""
    path = tmp_path / "checkout"
    files = {**FILES, "backend.py": BACKEND, "flag": "good"}
    files["pyproject.toml"] += BUILD_SYSTEM
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path
