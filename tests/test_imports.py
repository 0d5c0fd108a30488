"""Importing is cheap, and what is public is what is meant to be."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

HEAVY = [
    "prefect",
    "fastapi",
    "starlette",
    "pandas",
    "pyarrow",
    "docker",
    "kubernetes",
    "sqlalchemy",
    "alembic",
    "pymongo",
    "pymysql",
    "psycopg",
    "torch",
    "numpy",
    "h5py",
    "lume",
    "matplotlib",
    "dependency_injector",
]

PUBLIC = {
    "lume_services.config": {
        "Context",
        "EnvironmentVariable",
        "LUMEServicesSettings",
        "configure",
        "context",
        "get_env_vars",
    },
}


def modules_after(code: str) -> set[str]:
    report = f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", report], check=True, capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import lume_services",
        "from lume_services.config import configure, context; configure()",
        "import sys; sys.argv = ['lume-services', '--help']\n"
        "from lume_services.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
        "from lume_services.config import get_env_vars; get_env_vars()",
    ],
    ids=["package", "configure", "help", "variables"],
)
def test_what_has_to_start_quickly_imports_nothing_heavy(code: str) -> None:
    assert modules_after(code).isdisjoint(HEAVY)


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_the_public_names_are_these(module: str, names: set[str]) -> None:
    imported = import_module(module)
    assert set(imported.__all__) == names
    for name in names:
        assert getattr(imported, name) is not None
