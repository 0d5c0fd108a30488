"""A model and flows that are installed where jobs run."""

from __future__ import annotations

import os
import time
from typing import Any

from prefect import get_run_logger

from lume_services.files import TextFile
from lume_services.flows import flow


def rotate(inputs: dict[str, Any]) -> dict[str, Any]:
    """A thin dipole kick."""
    return {"xp": inputs["xp"] + inputs["kick"]}


@flow
def wait(seconds: float) -> None:
    """Do nothing, in short steps and without a task."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)


@flow
def who(variable: str) -> dict[str, Any]:
    """What a job is and sees."""
    return {"user": os.getuid(), "home": os.environ["HOME"], "value": os.environ.get(variable)}


@flow
def who_waits(variable: str, seconds: float) -> None:
    """Say what a job is and sees, but for the secret itself, and stay."""
    get_run_logger().info(
        "let in by a secret of %s letters as user %s", len(os.environ[variable]), os.getuid()
    )
    wait.fn(seconds)


@flow
def write(path: str, text: str) -> TextFile:
    """Write a file where the host sees it, too."""
    file = TextFile(filename=path, filesystem_identifier="mounted", obj=text)
    file.write()
    return file
