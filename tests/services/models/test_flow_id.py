from __future__ import annotations

import subprocess

import pytest

from lume_services.errors import InvalidInputError
from lume_services.services.models import ModelDBService, flow_id

NAMES = {
    "author": "Ada",
    "laboratory": "SLAC",
    "facility": "LCLS",
    "beampath": "cu_hxr",
    "description": "injector",
    "version": "1.0",
    "project_name": "local",
    "flow_name": "run",
}


def test_id_never_changes() -> None:
    # Results in users' databases are found by it: another value here would lose them.
    assert flow_id(**NAMES) == "c88aafa3-0e1d-5dca-80b6-0fe92187c288"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_counts(name: str) -> None:
    assert flow_id(**{**NAMES, name: "2.0"}) != flow_id(**NAMES)


def test_names_do_not_run_into_each_other() -> None:
    one = flow_id(**{**NAMES, "author": 'a", "b', "laboratory": "c"})
    other = flow_id(**{**NAMES, "author": "a", "laboratory": 'b", "c'})
    assert one != other


def test_version_counts_not_its_spelling() -> None:
    assert flow_id(**{**NAMES, "version": "v1.0"}) == flow_id(**NAMES)


def test_version_is_checked() -> None:
    with pytest.raises(InvalidInputError, match=r"version='newest'.*'1\.0\.0'"):
        flow_id(**{**NAMES, "version": "newest"})


def test_stored_flow_has_it(service: ModelDBService, model_id: int) -> None:
    deployment_id = service.store_deployment(model_id, "1.0")
    service.store_project("local")
    stored = service.store_flow(deployment_id=deployment_id, flow_name="run", project_name="local")
    assert stored == flow_id(**NAMES)


def test_needs_no_database_library(python: str) -> None:
    code = (
        "import sys, lume_services.services.models as m; m.flow_id; "
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([python, "-c", code]).returncode == 0
