"""A Prefect server, as the backends and workers of one process use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Lock
from typing import Any, Final

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

from lume_services.errors import RunError, SchedulingUnavailableError

__all__ = ["HEARTBEAT", "SILENT", "PrefectAPI"]

HEARTBEAT: Final = "lume-services.job.alive"
"""The event by which a job says that it is alive; not Prefect's own, which other runs send, too."""
SILENT: Final = "Its job has shown no sign of life"
"""What the server says of a run whose job fell silent."""
_SILENT_S: Final = 60
_ENDS: Final = ("Completed", "Failed", "TimedOut", "Cancelled", "Crashed")
_AUTOMATION: Final = "lume-services: jobs that fell silent"


class PrefectAPI:
    """The API of a Prefect server, for all threads of a process; connected when first used.

    Args:
        url: Its address, ``http://host:4200/api``.
        ui_url: Address of its pages.
    """

    def __init__(self, url: str, ui_url: str) -> None:
        self.url = url
        self.ui_url = ui_url
        self._lock = Lock()
        self._client: SyncPrefectClient | None = None

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        """Prefect's client.

        Raises:
            SchedulingUnavailableError: The server does not answer.
            RunError: It refused, or something was deleted there.
        """
        try:
            with self._lock:
                if self._client is None:
                    self._client = SyncPrefectClient(
                        self.url,
                        auth_string=_secret(PREFECT_API_AUTH_STRING),
                        api_key=_secret(PREFECT_API_KEY),
                    ).__enter__()
            yield self._client
        except httpx.TransportError as error:
            raise SchedulingUnavailableError(
                f"The Prefect server at {self.url} does not answer: "
                f"{error or type(error).__name__}. See that it runs, and "
                "LUME_PREFECT__SERVER__HOST and LUME_PREFECT__SERVER__HOST_PORT."
            ) from error
        except ObjectNotFound as error:
            raise RunError(
                f"The Prefect server at {self.url} does not have any more what was asked for: "
                "somebody has deleted it there."
            ) from error
        except PrefectHTTPStatusError as error:
            raise RunError(f"The Prefect server at {self.url} refused: {error}") from error

    def make_work_pool(self, name: str, kind: str) -> None:
        """Make a work pool, unless it is there, and have the server watch over the jobs.

        A job that was killed, or whose machine was, cannot say so. The server is told to take a run
        for crashed when its job has shown no sign of life for a minute.

        Raises:
            SchedulingUnavailableError: The server does not answer.
        """
        with self.client() as client:
            try:
                client.read_work_pool(name)
            except ObjectNotFound:
                with suppress(ObjectAlreadyExists):  # somebody else was first
                    client.create_work_pool(WorkPoolCreate(name=name, type=kind))
            if not client.read_automations_by_name(_AUTOMATION):
                client.create_automation(_silence())

    def close(self) -> None:
        """Let go of the connection; the next use opens another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.__exit__(None, None, None)


def _silence() -> AutomationCore:
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={HEARTBEAT},
        expect={HEARTBEAT, *(f"prefect.flow-run.{name}" for name in _ENDS)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        threshold=1,
        within=timedelta(seconds=_SILENT_S),
    )
    crash = ChangeFlowRunState(state=StateType.CRASHED, message=f"{SILENT} for {_SILENT_S} s.")
    return AutomationCore(name=_AUTOMATION, trigger=trigger, actions=[crash])


def _secret(setting: Any) -> str | None:
    """A secret setting of Prefect's own."""
    value = setting.value()
    return None if value is None else getattr(value, "get_secret_value", lambda: value)()
