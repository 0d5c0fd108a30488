"""The same program, unchanged, on embedded stores and on a group's servers; variables differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.servers import SFTP, Server

ROOT = Path(__file__).parents[2]
PLACES = ("embedded", "mariadb and mongodb", "postgresql, mongodb and sftp")


def run(variables: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def variables_of(place: str, request: pytest.FixtureRequest, folder: Path) -> dict[str, str]:
    """What a user sets."""
    home = folder / place.partition(" ")[0].strip(",")
    variables = {"LUME_HOME": str(home), "LUME_FILESYSTEMS__LAB__URL": f"file://{home}/lab"}
    if place == "embedded":
        return variables
    name = f"same-{uuid4().hex}"  # what one place has computed the next has to compute again
    for variable, kind in (
        ("LUME_MODEL_DB__URL", place.partition(" ")[0].strip(",")),
        ("LUME_RESULTS_DB__URL", "mongodb"),
    ):
        server: Server = request.getfixturevalue(kind)
        variables[variable] = server.url(name)
    if "sftp" in place:
        sftp: SFTP = request.getfixturevalue("sftp")
        variables["LUME_FILESYSTEMS__LAB__URL"] = request.getfixturevalue("sftp_url")
        for name, value in sftp.options.items():
            variables[f"LUME_FILESYSTEMS__LAB__OPTIONS__{name.upper()}"] = value
    return variables


def answers_on(place: str, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    variables = variables_of(place, request, folder)
    shown = json.loads(run(variables, "-m", "lume_services", "config", "show", "--json"))
    set_ones = {name: value for name, value in shown.items() if name in variables}
    print(f"{place}:", *(f"  {name}={value}" for name, value in set_ones.items()), sep="\n")
    run(variables, "-m", "lume_services", "db", "upgrade")
    answers: dict[str, Any] = json.loads(run(variables, "-m", "tests.shared_stores.program"))
    return answers


@pytest.mark.slow
def test_results_are_equal_value_for_value(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    embedded, *others = (answers_on(place, request, tmp_path) for place in PLACES)
    assert len(embedded["all"]) == 50
    assert len(embedded["frame"]) == 30
    assert embedded["focused"]
    for place, answers in zip(PLACES[1:], others, strict=True):
        for what, expected in embedded.items():
            assert answers[what] == expected, f"{what} differs on {place}"
