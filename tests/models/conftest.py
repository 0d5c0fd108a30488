"""Every test of models works on the embedded default, in a folder of its own."""

from __future__ import annotations

import pytest

from lume_services.config import configure
from lume_services.models import Model
from tests.models import physics


@pytest.fixture(autouse=True)
def configured(lume_home: object) -> None:
    configure()


@pytest.fixture
def quadrupole() -> Model:
    """A registered model with variables."""
    model = Model.create_model(description="quadrupole", laboratory="test")
    model.register(physics.Quadrupole, version="1.0.0")
    return model
