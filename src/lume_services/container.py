"""The dependency_injector container behind ``lume_services.context.context``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dependency_injector import containers, providers

from lume_services import plugins
from lume_services.context import Closable, context

if TYPE_CHECKING:
    from lume_services.services.files import FileService
    from lume_services.services.files.filesystems import Filesystem
    from lume_services.services.models import ModelDBService
    from lume_services.services.models.db import ModelDB
    from lume_services.services.results import ResultsDB, ResultsDBService
    from lume_services.services.scheduling import SchedulingService
    from lume_services.services.scheduling.backends import Backend
    from lume_services.settings import LUMEServicesSettings

__all__ = ["OUTBOX", "Context", "results_db_of"]

OUTBOX = "outbox"
"""Folder under ``LUME_HOME`` of the results that wait for a store that is away."""

T = TypeVar("T", bound=Closable)


def _closed_with_context(make: Callable[[], T]) -> Callable[[], T]:
    def made() -> T:
        store = make()
        context.close_at_end(store)
        return store

    return made


def _model_db() -> ModelDB:
    from lume_services.services.models.db import ModelDB, ModelDBConfig

    settings = context.settings
    if settings.model_db is not None:
        return ModelDB(settings.model_db)
    return ModelDB(ModelDBConfig(url=f"sqlite:///{settings.home / 'models.db'}"))


def _model_db_service(model_db: ModelDB) -> ModelDBService:
    from lume_services.services.models import ModelDBService

    return ModelDBService(model_db)


def results_db_of(settings: LUMEServicesSettings) -> ResultsDB:
    """Make the results store that the settings describe."""
    store = plugins.load(
        plugins.RESULTS_DBS, settings.results_store, variable=settings.results_store_variable
    )
    made: ResultsDB = store.from_settings(settings.results_db, home=settings.home)
    return made


def _results_db() -> ResultsDB:
    return results_db_of(context.settings)


def _results_db_service(results_db: ResultsDB) -> ResultsDBService:
    from lume_services.services.results import ResultsDBService

    return ResultsDBService(results_db, context.settings.home / OUTBOX)


def _filesystems() -> list[Filesystem]:
    from lume_services.services.files.filesystems import LocalFilesystem, MountedFilesystem

    settings = context.settings
    filesystems: list[Filesystem] = [LocalFilesystem(settings.home / "files")]
    if settings.mounted_filesystem is not None:
        filesystems.append(MountedFilesystem.from_settings(settings.mounted_filesystem))
    for identifier, config in settings.filesystems.items():
        variable = f"LUME_FILESYSTEMS__{identifier.upper()}__URL"
        kind = plugins.load(plugins.FILESYSTEMS, config.scheme, variable=variable)
        filesystems.append(kind.from_url(identifier, config.url, config.options))
    return filesystems


def _file_service(filesystems: list[Filesystem]) -> FileService:
    from lume_services.services.files import FileService

    return FileService(filesystems)


def _backend() -> Backend:
    settings = context.settings
    backend = plugins.load(plugins.BACKENDS, settings.backend, variable="LUME_BACKEND")
    made: Backend = backend.from_settings(settings, results=context.results_db_service)
    return made


def _scheduling_service(backend: Backend) -> SchedulingService:
    from lume_services.services.scheduling import SchedulingService

    return SchedulingService(backend)


class Context(containers.DeclarativeContainer):
    """Every service as a lazy, thread-safe singleton.

    ``model_db``, ``results_db``, ``filesystems`` and ``backend`` are implementations of the base
    classes; ``…_service`` are the services built on them. One instance lives as long as the
    process, so modules that are wired to it stay wired when ``configure()`` is called again.
    """

    model_db = providers.ThreadSafeSingleton(_closed_with_context(_model_db))
    results_db = providers.ThreadSafeSingleton(_closed_with_context(_results_db))
    filesystems = providers.ThreadSafeSingleton(_filesystems)
    backend = providers.ThreadSafeSingleton(_closed_with_context(_backend))

    model_db_service = providers.ThreadSafeSingleton(_model_db_service, model_db)
    results_db_service = providers.ThreadSafeSingleton(_results_db_service, results_db)
    file_service = providers.ThreadSafeSingleton(_file_service, filesystems)
    scheduling_service = providers.ThreadSafeSingleton(_scheduling_service, backend)
