"""Importing is cheap, and what is public is what is meant to be."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from lume_services import errors

HEAVY = [
    "prefect",
    "fastapi",
    "starlette",
    "pandas",
    "pyarrow",
    "docker",
    "kubernetes",
    "sqlalchemy",
    "alembic",
    "pymongo",
    "pymysql",
    "psycopg",
    "torch",
    "numpy",
    "h5py",
    "lume",
    "matplotlib",
    "dependency_injector",
]

# What users may import; whatever is not listed here is free to change.
PUBLIC = {
    "config": "Context EnvironmentVariable LUMEServicesSettings configure context get_env_vars",
    "models": "Difference Model grid rerun",
    "results": "ImpactResult Provenance RESULT_CODEC Result describe_error field frame "
    "get_result_from_string",
    "results.legacy": "Migrated array_from_pickle migrate_results result_from_original",
    "files": "FILE_CODEC File HDF5File ImageFile TextFile YAMLFile get_file_from_serializer_string",
    "flows": "DBMappedParameter FileMappedParameter Flow FlowOfFlows MappedParameter "
    "RawMappedParameter flow task",
    "tasks": "LoadDBResult LoadFile SaveDBResult SaveFile check_local_execution "
    "configure_lume_services load_db_result load_file prepare_lume_model_variables "
    "save_db_result save_file",
    "engine": "InlineFlow InlineTask LocalRun check_parameters check_stop entry_point_of flow "
    "local_run parameters_of registered_flow_id task",
    "serialization": "BLOB_THRESHOLD Codec DOCUMENT_LIMIT GetBlob PutBlob blob_digests "
    "canonical_hash decode decode_name document_size encode encode_name fit from_json hash_only "
    "register to_json unfit",
    "testing": "BackendConformance ConfinedFilesystemConformance FilesystemConformance "
    "MemoryResultsDB ResultsDBConformance SharedResultsDBConformance",
    "plugins": "BACKENDS FILESYSTEMS FILE_TYPES RESULTS_DBS RESULT_TYPES VALUES WORKERS check "
    "load load_announced names",
    "docker": "DEFAULT_IMAGE Stack build_image",
    "docker.files": "DOCKER_COMPOSE",
    "workers": "start_worker",
    "services.results": "ResultsDB ResultsDBConfig ResultsDBService",
    "services.results.mongodb": "MongodbResultsDB MongodbResultsDBConfig",
    "services.models": "ModelDBService flow_id",
    "services.models.db": "ConnectionConfig ModelDB ModelDBConfig",
    "services.files": "FileService",
    "services.files.filesystems": (
        "Filesystem LocalFilesystem MountedFilesystem RemoteFilesystem Serializer"
    ),
    "services.scheduling": "SchedulingService",
    "services.scheduling.backends": "Backend Capability FlowRunHandle LocalBackend LogRecord "
    "RunState",
}


def modules_after(code: str) -> set[str]:
    report = f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", report], check=True, capture_output=True, text=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import lume_services",
        "from lume_services.config import configure, context; configure()",
        "import sys; sys.argv = ['lume-services', '--help']\n"
        "from lume_services.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
        "from lume_services.config import get_env_vars; get_env_vars()",
    ],
    ids=["package", "configure", "help", "variables"],
)
def test_what_has_to_start_quickly_imports_nothing_heavy(code: str) -> None:
    assert modules_after(code).isdisjoint(HEAVY)


def test_the_registry_is_used_without_the_orm(tmp_path: Path) -> None:
    used = modules_after(
        "from lume_services.services.models import ModelDBService\n"
        "from lume_services.services.models.db import ModelDB, ModelDBConfig\n"
        f"model_db = ModelDB(ModelDBConfig(url='sqlite:///{tmp_path}/models.db'))\n"
        "model_id = ModelDBService(model_db).store_model('', '', '', '', 'm')\n"
        "ModelDBService(model_db).get_model(model_id=model_id)"
    )
    assert "sqlalchemy" in used
    assert "sqlalchemy.orm" not in used


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_the_public_names_are_these(module: str, names: str) -> None:
    imported = import_module(f"lume_services.{module}")
    assert sorted(imported.__all__) == names.split()
    for name in names.split():
        assert getattr(imported, name) is not None


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.LUMEServicesError)
    }
    assert {*classes, "LUMEServicesWarning"} == set(errors.__all__)
    assert not [name for name in classes if name not in (errors.__doc__ or "")]
