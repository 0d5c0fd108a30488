"""Archives of packages in the registry, and deployments that appear with all that they need."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

from lume_services.errors import DeploymentNotFoundError, ModelDBError, PackageError
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB

FLOWS = {"evaluate": None, "scan": "ring.flow:scan"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    archive = tmp_path / "ring-1.0.tar.gz"
    archive.write_bytes(os.urandom(5 << 19))  # two parts and a half
    return archive


@pytest.fixture
def model_id(service: ModelDBService) -> int:
    service.apply_schema()
    return service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "ring")


def test_an_archive_comes_back(
    service: ModelDBService, model_id: int, archive: Path, tmp_path: Path
) -> None:
    service.store_deployment(model_id, "1.0", archive=archive, flows=FLOWS, project_name="rings")
    digest = sha256(archive.read_bytes()).hexdigest()
    assert service.get_deployment(model_id=model_id).sha256 == digest
    (folder := tmp_path / "again").mkdir()
    again = service.load_package(digest, folder)
    assert again.name == archive.name
    assert again.read_bytes() == archive.read_bytes()


def test_a_deployment_appears_with_its_flows(
    service: ModelDBService, model_id: int, archive: Path
) -> None:
    lock = {"python": "3.11", "packages": ["numpy==2.4.6"]}
    made = [
        service.store_deployment(
            model_id,
            "1.0",
            archive=archive,
            environment=lock,
            flows=FLOWS,
            project_name="rings",
            is_live=True,
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]
    deployment = service.get_live_deployment(model_id=model_id)
    assert deployment.environment == lock
    flows = service.get_flows(deployment_id=deployment.deployment_id)
    assert {flow.flow_name: flow.entry_point for flow in flows} == FLOWS
    assert {flow.project_name for flow in flows} == {"rings"}
    assert flows[0].flow_id == service.store_flow(
        deployment_id=made[0], flow_name=flows[0].flow_name, project_name="rings"
    )


def test_nothing_is_stored_of_a_deployment_that_is_refused(
    service: ModelDBService, model_id: int, archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelDBError, match=r"flow\.flow_name takes up to 255"):
        service.store_deployment(model_id, "1.0", archive=archive, flows={"x" * 256: None})
    with pytest.raises(DeploymentNotFoundError):
        service.get_deployments(model_id=model_id)
    with pytest.raises(PackageError, match="has no package"):
        service.load_package(sha256(archive.read_bytes()).hexdigest(), tmp_path)


def test_another_archive_under_the_same_version_is_refused(
    service: ModelDBService, model_id: int, archive: Path, tmp_path: Path
) -> None:
    service.store_deployment(model_id, "1.0", archive=archive, flows=FLOWS)
    other = tmp_path / "other" / archive.name
    other.parent.mkdir()
    other.write_bytes(b"another")
    with pytest.raises(ModelDBError, match="another sha256"):
        service.store_deployment(model_id, "1.0", archive=other, flows=FLOWS)
    with pytest.raises(ModelDBError, match=r"stored with the flows .*use a new version"):
        service.store_deployment(model_id, "1.0", archive=archive, flows={"evaluate": None})
    assert len(service.get_deployments(model_id=model_id)) == 1


def test_a_damaged_archive_is_not_given_out(
    service: ModelDBService, model_db: ModelDB, model_id: int, archive: Path, tmp_path: Path
) -> None:
    service.store_deployment(model_id, "1.0", archive=archive)
    digest = sha256(archive.read_bytes()).hexdigest()
    with model_db.connection(write=True) as connection:
        connection.execute(sa.text("DELETE FROM package_part WHERE number = 1"))
    (folder := tmp_path / "again").mkdir()
    with pytest.raises(PackageError, match="is damaged"):
        service.load_package(digest, folder)
    assert list(folder.iterdir()) == []


def test_many_store_the_same_archive_at_once(
    service: ModelDBService, model_id: int, archive: Path, tmp_path: Path
) -> None:
    models = [service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", f"{n}") for n in range(4)]

    def store(model: int) -> int:
        return service.store_deployment(model, "1.0", archive=archive, flows=FLOWS)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(store, models * 2))
    assert made[:4] == made[4:]
    assert len(set(made)) == 4
    digest = sha256(archive.read_bytes()).hexdigest()
    (folder := tmp_path / "again").mkdir()
    assert service.load_package(digest, folder).read_bytes() == archive.read_bytes()
