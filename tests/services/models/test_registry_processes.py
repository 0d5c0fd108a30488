"""Several processes and one registry, on every database."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from lume_services.models import Model
from tests.services.models import together
from tests.services.models.conftest import registry

pytestmark = pytest.mark.slow

PROCESSES = 8


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with together.pool(PROCESSES) as started:
        yield started


def use_first(url: str, seed: int) -> set[int]:
    ids = set()
    for number in range(8):
        service = registry(f"{url}-{number}")
        together.wait()
        ids.add(service.store_model("", "", "", "", "m"))
    return ids


def create_models(url: str, seed: int) -> set[tuple[str, int]]:
    """A thousand calls by all processes together."""
    service = registry(url)
    names = [f"model {number % 10}" for number in range(1000 // PROCESSES)]
    random.Random(seed).shuffle(names)
    together.wait()
    return {
        (name, Model.create_model(description=name, service=service).model_id) for name in names
    }


def promote_some(url: str, seed: int) -> set[int]:
    service = registry(url)
    choice = random.Random(seed)
    ids = [deployment.deployment_id for deployment in service.get_deployments()]
    live = set()
    together.wait()
    for _ in range(25):
        service.promote(choice.choice(ids))
        live.add(len(service.get_deployments(is_live=True)))
    return live


def store_live(url: str, seed: int) -> list[int]:
    service = registry(url)
    (model,) = service.get_models()
    together.wait()
    return [service.store_deployment(model.model_id, f"{n}.0", is_live=True) for n in range(10)]


@pytest.mark.parametrize("database", ["sqlite"])
def test_all_make_the_same_file(url: str, pool: ProcessPoolExecutor) -> None:
    assert set().union(*pool.map(use_first, [url] * PROCESSES, range(PROCESSES))) == {1}


def test_same_models_by_all(url: str, pool: ProcessPoolExecutor) -> None:
    service = registry(url)
    service.apply_schema()
    seen = list(pool.map(create_models, [url] * PROCESSES, range(PROCESSES)))
    assert all(one == seen[0] for one in seen)
    assert len(seen[0]) == 10
    assert len(service.get_models()) == 10
    service._model_db.close()


def test_one_is_live_whoever_promotes(url: str, pool: ProcessPoolExecutor) -> None:
    service = registry(url)
    service.apply_schema()
    model_id = service.store_model("", "", "", "", "m")
    for version in "1234":
        service.store_deployment(model_id, version, is_live=True)
    assert set().union(*pool.map(promote_some, [url] * PROCESSES, range(PROCESSES))) == {1}
    service._model_db.close()


def test_same_versions_by_all(url: str, pool: ProcessPoolExecutor) -> None:
    service = registry(url)
    service.apply_schema()
    service.store_model("", "", "", "", "m")
    seen = list(pool.map(store_live, [url] * PROCESSES, range(PROCESSES)))
    assert all(one == seen[0] for one in seen)
    assert len(service.get_deployments()) == 10
    assert len(service.get_deployments(is_live=True)) == 1
    service._model_db.close()
