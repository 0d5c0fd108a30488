"""Models that are plain functions, in a module that imports quickly in worker processes."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np


def thin_lens(inputs: dict[str, Any]) -> dict[str, Any]:
    """A drift after a thin lens, as a plain function."""
    f, x, xp = inputs["f"], inputs.get("x", 1e-3), inputs.get("xp", 0.0)
    return {"x": x + (xp - x / f), "xp": xp - x / f}


def fails_above_one(inputs: dict[str, Any]) -> dict[str, Any]:
    if inputs["x"] > 1:
        raise RuntimeError(f"no solution at x = {inputs['x']}")
    return {"y": inputs["x"]}


def dies_at_two(inputs: dict[str, Any]) -> dict[str, Any]:
    if inputs["x"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"y": inputs["x"]}


def cannot_be_sent(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": inputs["x"], "function": lambda: None}


def cannot_be_stored(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": {1, 2} if inputs["x"] == 2 else inputs["x"]}


def gives_up(inputs: dict[str, Any]) -> dict[str, Any]:
    """Ends the program at some points, as wrapped simulation codes do."""
    if inputs["x"] == 2:
        raise SystemExit(4)
    return {"y": inputs["x"]}


def changes_its_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    inputs["beam"] *= 0
    inputs["apertures"].append(0.0)
    return {"y": 1.0}


def reads_a_corrector(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"BPM.X": 2 * inputs["XCOR.VAL"]}


def arrays_and_frames(inputs: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    twiss = pd.DataFrame({"name": ["QF1", "QD2"], "beta": [1.5, 2.5]})
    return {"wave": np.arange(5000.0), "twiss": twiss, "raw": b"\0"}


class OnlyInTheParent:
    """Can be made in the process of the test, and in no worker."""

    def __init__(self) -> None:
        if os.environ.get("LUME_TEST_PARENT") != str(os.getpid()):
            raise OSError("the licence server is away")

    def evaluate(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"y": inputs["x"]}


def slow_at_the_end(inputs: dict[str, Any]) -> dict[str, Any]:
    time.sleep(60 if inputs["x"] == 3 else 0.01)
    return {"y": inputs["x"]}


def where(inputs: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.02)
    return {"pid": os.getpid()}


def screen(inputs: dict[str, Any]) -> dict[str, Any]:
    """A screen image of 2 MB."""
    rng = np.random.default_rng(int(inputs["x"]))
    return {"image": rng.random((512, 512)), "total": inputs["x"]}


def waveform(inputs: dict[str, Any]) -> dict[str, Any]:
    """A waveform, and at every tenth point a long one, of 1.2 MB."""
    time.sleep(0.01)
    rng = np.random.default_rng(int(inputs["x"]))
    return {"wave": rng.random(150_000 if inputs["x"] % 10 == 0 else 1_000)}
