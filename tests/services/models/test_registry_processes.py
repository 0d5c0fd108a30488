"""Several processes and one registry."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Barrier

import pytest

from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig

pytestmark = pytest.mark.slow


PROCESSES = 8
together: Barrier
"""Waits, in a process of the pool, for all the others."""


def _start(barrier: Barrier) -> None:
    global together
    together = barrier


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    context = get_context("spawn")
    with ProcessPoolExecutor(
        PROCESSES,
        mp_context=context,
        initializer=_start,
        initargs=(context.Barrier(PROCESSES, timeout=60),),
    ) as pool:
        yield pool


def open_registry(url: str) -> ModelDBService:
    return ModelDBService(ModelDB(ModelDBConfig(url=url)))


def use_first(url: str, seed: int) -> set[int]:
    ids = set()
    for number in range(40):
        service = open_registry(f"{url}-{number}")
        together.wait()
        ids.add(service.store_model("", "", "", "", "m"))
    return ids


def create_models(url: str, seed: int) -> set[tuple[str, int]]:
    service = open_registry(url)
    names = [f"model {number % 10}" for number in range(1000)]
    random.Random(seed).shuffle(names)
    return {(name, service.store_model("a", "b", "c", "d", name)) for name in names}


def promote_some(url: str, seed: int) -> set[int]:
    service = open_registry(url)
    choice = random.Random(seed)
    live = set()
    for _ in range(50):
        service.promote(choice.choice([1, 2, 3, 4]))
        live.add(len(service.get_deployments(model_id=1, is_live=True)))
    return live


def store_live(url: str, seed: int) -> list[int]:
    service = open_registry(url)
    return [service.store_deployment(1, f"{n}.0", is_live=True) for n in range(10)]


def test_all_make_the_same_file(url: str, pool: ProcessPoolExecutor) -> None:
    assert set().union(*pool.map(use_first, [url] * PROCESSES, range(PROCESSES))) == {1}


def test_same_models_by_all(url: str, pool: ProcessPoolExecutor) -> None:
    seen = list(pool.map(create_models, [url] * PROCESSES, range(PROCESSES)))
    assert all(one == seen[0] for one in seen)
    assert len(seen[0]) == 10
    assert len(open_registry(url).get_models()) == 10


def test_one_is_live_whoever_promotes(url: str, pool: ProcessPoolExecutor) -> None:
    service = open_registry(url)
    service.store_model("", "", "", "", "m")
    for version in "1234":
        service.store_deployment(1, version, is_live=True)
    assert set().union(*pool.map(promote_some, [url] * PROCESSES, range(PROCESSES))) == {1}


def test_same_versions_by_all(url: str, pool: ProcessPoolExecutor) -> None:
    service = open_registry(url)
    service.store_model("", "", "", "", "m")
    seen = list(pool.map(store_live, [url] * PROCESSES, range(PROCESSES)))
    assert all(one == seen[0] for one in seen)
    assert len(service.get_deployments()) == 10
    assert service.get_live_deployment(model_id=1)
