"""Timing two things side by side, so that a busy machine slows both."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    what: str
    ours_s: float
    floor: str
    floor_s: float
    bound: float
    """What the ratio may be at most."""
    aim: str = ""
    """What it should be."""

    @property
    def ratio(self) -> float:
        return self.ours_s / self.floor_s


def side_by_side(
    ours: Callable[[], object], floor: Callable[[], object], repeats: int, *, rounds: int = 1
) -> tuple[float, float]:
    """Median seconds of one call of each, taken in turns.

    Args:
        ours: What is measured.
        floor: What it is compared with.
        repeats: How often each is timed.
        rounds: Calls in one timing, for what is short.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for kept, call in zip(times, (ours, floor), strict=True):
            start = time.perf_counter()
            for _ in range(rounds):
                call()
            kept.append((time.perf_counter() - start) / rounds)
    return statistics.median(times[0]), statistics.median(times[1])


def process_time(*arguments: str) -> float:
    """Seconds from start to end of a Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def import_time(module: str) -> float:
    """Seconds that importing a module takes in a fresh process, its start left out."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)
