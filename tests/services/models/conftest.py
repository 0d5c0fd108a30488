from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'registry' / 'models.db'}"


@pytest.fixture
def model_db(url: str) -> Iterator[ModelDB]:
    model_db = ModelDB(ModelDBConfig(url=url))
    yield model_db
    model_db.close()


@pytest.fixture
def service(model_db: ModelDB) -> ModelDBService:
    return ModelDBService(model_db)


@pytest.fixture
def model_id(service: ModelDBService) -> int:
    return service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "injector")
