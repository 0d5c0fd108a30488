"""What a packaged model costs beyond itself: pyAT's storage ring, with pyAT of its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.environment.models import RING, model_wheel

from benchmarks.measure import Row
from lume_services.context import context
from lume_services.models import Model
from lume_services.models._packaged import PackagedEvaluator, environment_of


def packaged_model(folder: Path) -> Iterator[Row]:
    model = Model.create_model(description="ring")
    needs = ["accelerator-toolbox", "lume-base>=0.5"]
    wheel = model_wheel(folder, name="hmba", source=RING, model="Ring", requires=needs)
    deployment = model.store_deployment(wheel)
    load_package = context.model_db_service().load_package

    def found_again() -> object:
        return environment_of(deployment, load_package)

    reused = statistics.median(_seconds(found_again) for _ in range(20))
    yield Row("packaged ring: its environment found again", reused, "50 ms", 0.050, 1.0)

    process = PackagedEvaluator(deployment, load_package).process
    process.evaluate({"scale": 1.0})
    times, own = [], []
    for number in range(20):
        inputs = {"scale": 1 + number * 1e-4}
        start = time.perf_counter()
        own.append(process.evaluate(inputs).duration_s)
        times.append(time.perf_counter() - start)
    beyond = statistics.median(whole - itself for whole, itself in zip(times, own, strict=True))
    yield Row("packaged ring: beyond the model itself", beyond, "5 ms", 0.005, 1.0)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


BENCHMARKS = (packaged_model,)
