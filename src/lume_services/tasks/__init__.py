"""Tasks that flows are made of: configuring the services, files, results, model inputs.

Each is a task like any other, ``save_file(...)`` or ``save_file.submit(...)``. The classes make one
with options of your own: ``SaveFile(name="save_image", timeout=30, retries=2)``.
"""

from __future__ import annotations

from lume_services.tasks.configure import (
    check_local_execution,
    configure_lume_services,
    prepare_lume_model_variables,
)
from lume_services.tasks.db import LoadDBResult, SaveDBResult, load_db_result, save_db_result
from lume_services.tasks.file import LoadFile, SaveFile, load_file, save_file

__all__ = [
    "LoadDBResult",
    "LoadFile",
    "SaveDBResult",
    "SaveFile",
    "check_local_execution",
    "configure_lume_services",
    "load_db_result",
    "load_file",
    "prepare_lume_model_variables",
    "save_db_result",
    "save_file",
]
