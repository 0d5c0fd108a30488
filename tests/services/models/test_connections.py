"""Connections: shared by threads, not by processes, lost and found again."""

from __future__ import annotations

import os

from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB


def test_child_opens_its_own_connections(model_db: ModelDB) -> None:
    service = ModelDBService(model_db)
    service.store_project("parent")
    parents_engine = model_db.engine
    child = os.fork()
    if child == 0:
        # Anything that is raised here must not run the rest of the test a second time.
        try:
            service.store_project("child")
            os._exit(0 if model_db.engine is not parents_engine else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert model_db.engine is parents_engine
    assert [project.project_name for project in service.get_projects()] == ["child", "parent"]
