"""``context``: the one object through which everything asks for a service.

It exists before ``configure()`` and stays the same object after it, so it can be imported
anywhere and at any time. What stands behind it, a dependency_injector container, is made on
first use: importing that library takes longer than everything else that configuring does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from lume_services.errors import EnvironmentNotConfiguredError

if TYPE_CHECKING:
    from lume_services.container import Context
    from lume_services.services.files import FileService
    from lume_services.services.models import ModelDBService
    from lume_services.services.results import ResultsDBService
    from lume_services.services.scheduling import SchedulingService
    from lume_services.settings import LUMEServicesSettings

__all__ = ["ServiceContext", "context"]

# What configure() takes implementations of.
_REPLACEABLE = ("model_db", "results_db", "filesystems", "backend")


class Closable(Protocol):
    """What holds connections."""

    def close(self) -> None:
        """Let go of every connection; the next use may open them again."""


class ServiceContext:
    """Gives each service, made when it is first asked for and then shared.

    Thread-safe. After a fork the child makes its own services: database connections must not be
    shared between processes.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._container: Context | None = None
        self._settings: LUMEServicesSettings | None = None
        self._open = ExitStack()
        self._inherited: list[ExitStack] = []
        # No service is being made while the process forks: the child would wait for it for ever.
        os.register_at_fork(
            before=self._acquire,
            after_in_parent=self._release,
            after_in_child=self._forget_services,
        )

    @property
    def configured(self) -> bool:
        """Whether ``configure()`` has been called."""
        return self._settings is not None

    @property
    def settings(self) -> LUMEServicesSettings:
        """The settings in force.

        Raises:
            EnvironmentNotConfiguredError: ``configure()`` has not been called.
        """
        if self._settings is None:
            raise EnvironmentNotConfiguredError("A setting")
        return self._settings

    @property
    def container(self) -> Context:
        """The dependency_injector container, for applications that wire it themselves."""
        with self._lock:
            if self._container is None:
                from lume_services.container import Context

                self._container = Context()
            return self._container

    def model_db_service(self) -> ModelDBService:
        """The model registry."""
        with self._lock:
            return self._configured("The model registry").model_db_service()

    def results_db_service(self) -> ResultsDBService:
        """The results database."""
        with self._lock:
            return self._configured("The results database").results_db_service()

    def file_service(self) -> FileService:
        """The file service."""
        with self._lock:
            return self._configured("The file service").file_service()

    def scheduling_service(self) -> SchedulingService:
        """The scheduling service."""
        with self._lock:
            return self._configured("The scheduling service").scheduling_service()

    def wire(self, *modules: ModuleType | str) -> None:
        """Let ``@inject`` fill in services in the functions of these modules.

        Args:
            modules: Modules, or their names, of the calling application. They may be wired before
                or after ``configure()``, and stay wired when it is called again.
        """
        self.container.wire(modules=list(modules))

    def close(self) -> None:
        """Close every connection and forget the services; they are made anew when asked for."""
        with self._lock:
            if self._container is not None:
                self._container.reset_singletons()
            self._open.close()

    def close_at_end(self, store: Closable) -> None:
        """Remember what ``close()`` has to close; the last one opened is closed first."""
        self._open.callback(store.close)

    def _configured(self, what: str) -> Context:
        if self._settings is None:
            raise EnvironmentNotConfiguredError(what)
        return self.container

    def _configure(self, settings: LUMEServicesSettings, overrides: Mapping[str, Any]) -> None:
        with self._lock:
            self.close()
            self._settings = settings
            if self._container is None and not overrides:
                return
            for name in _REPLACEABLE:
                provider = self.container.providers[name]
                provider.reset_override()
                if name in overrides:
                    provider.override(overrides[name])

    def _acquire(self) -> None:
        self._lock.acquire()

    def _release(self) -> None:
        self._lock.release()

    def _forget_services(self) -> None:
        # What the parent opened is kept, unused, so that nothing closes it from the child.
        self._lock = RLock()
        self._inherited.append(self._open)
        self._open = ExitStack()
        if self._container is not None:
            self._container.reset_singletons()


context = ServiceContext()
"""The services of this process."""
