"""Models that cost nothing, or exactly so much, for the benchmarks; importable by workers."""

from __future__ import annotations

import time
from typing import Any


def trivial(inputs: dict[str, Any]) -> dict[str, Any]:
    """Ten outputs from twenty inputs."""
    return {f"y{number}": inputs[f"x{number}"] * 1.5 for number in range(10)}


def five_milliseconds(inputs: dict[str, Any]) -> dict[str, Any]:
    """Keep a core busy for 5 ms."""
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end:
        pass
    return {"y": inputs["x"] ** 2}
