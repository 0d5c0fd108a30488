"""A run, carried out for a worker; see the package."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.events import Event
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from lume_services.config import configure, context
from lume_services.errors import (
    BlobNotFoundError,
    ConfigurationError,
    LUMEServicesError,
    ModelLoadError,
    ResultsDBUnavailableError,
    RunCancelledError,
    RunTimeoutError,
    SerializationError,
)
from lume_services.results import describe_error
from lume_services.services._retry import retried
from lume_services.services.scheduling.backends.prefect_api import HEARTBEAT
from lume_services.services.scheduling.labels import LOGGER_OF_TASKS, OUTCOME, STORES
from lume_services.services.scheduling.outcomes import Outcome, RemoteFailure, from_api

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from lume_services.engine import LocalRun

__all__ = ["failed", "main"]

T = TypeVar("T")

_LISTEN_S: Final = 1.0
_ALIVE_S: Final = 10.0
_LINES_AT_ONCE: Final = 1000
_GRACE_S: Final = 10.0
"""How long a flow that was asked to stop may go on before the process is ended."""
_PATIENCE_S: Final = 600.0
"""How long, when all is done, a server is waited for that is away."""


def main() -> None:
    """Carry out the run that the environment names, and end this process."""
    run_id = UUID(os.environ["PREFECT__FLOW_RUN_ID"])
    with get_client(sync_client=True) as client:
        code = _Job(client, _patiently(client, lambda: client.read_flow_run(run_id))).carry_out()
    context.close()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that a flow has left behind are not waited for


class _Job:
    def __init__(self, client: SyncPrefectClient, run: FlowRun) -> None:
        self._client = client
        self._run = run
        self._local: LocalRun | None = None
        self._over = threading.Event()
        self._told = 0  # lines of the log
        self._stopping: threading.Timer | None = None

    def carry_out(self) -> int:
        """The exit code: 0 when the server knows how the run ended."""
        with _forgiven():  # before anything else, so that it is missed if it dies now
            self._show_alive(self._client)
        if not self._begin():
            return 0
        signal.signal(signal.SIGTERM, self._told_to_end)
        teller = threading.Thread(target=self._tell, daemon=True)
        teller.start()
        state: State[Any]
        try:
            self._local = self._prepared()
        except Exception as error:
            state, outcome, within_s = Failed(message=_in_words(error)), failed(error), 0.0
        else:
            if self._stopping is not None:  # it was cancelled meanwhile
                self._local.cancel()
            state, outcome = self._executed(self._local)
            within_s = _PATIENCE_S
        delivered = self._delivered(state, outcome, within_s=within_s)
        self._over.set()  # after it, as a job that is silent is taken for crashed
        teller.join()
        return self._end(*delivered)

    def _begin(self) -> bool:
        """Whether the run is still wanted."""
        while not self._is_to_stop(self._run):
            if self._run.state is None or not (
                self._run.state.is_pending() or self._run.state.is_scheduled()
            ):
                return False  # another job has it, or had it
            answer: Any = self._patiently(
                lambda: self._client.set_flow_run_state(self._run.id, Running())
            )
            if answer.status is SetStateStatus.ACCEPT:
                return True
            if answer.status is SetStateStatus.WAIT:
                time.sleep(answer.details.delay_seconds)  # the worker was early
            self._run = self._patiently(lambda: self._client.read_flow_run(self._run.id))
            if answer.status is not SetStateStatus.WAIT and not self._is_to_stop(self._run):
                return False  # the server has put it off
        self._set_state(Cancelled(message="Cancelled before it began."))
        return False

    def _prepared(self) -> LocalRun:
        from lume_services.engine import local_run

        configure()
        self._check_stores()
        deployment_id = UUID(str(self._run.deployment_id))
        deployment = self._patiently(lambda: self._client.read_deployment(deployment_id))
        entry_point = str(deployment.entrypoint)
        try:
            flow: Any = load_flow_from_entrypoint(entry_point, use_placeholder_flow=False)
        except Exception as error:
            raise ModelLoadError(
                f"The flow {entry_point!r} cannot be imported where the run was to take place: "
                f"{type(error).__name__}: {error}"
            ) from error
        parameters = from_api(self._run.parameters, context.results_db_service().get_blob)
        return local_run(
            flow,
            parameters,
            name=self._run.name,
            run_id=self._run.id,
            registered_as=deployment.name.rpartition(".")[2],
        )

    def _check_stores(self) -> None:
        token, _, address = str(self._run.labels.get(STORES, "")).partition(" ")
        if not token:
            return  # started from Prefect's pages or by a schedule
        service = context.results_db_service()
        try:
            service.get_blob(token)
        except BlobNotFoundError:
            raise ConfigurationError(
                f"LUME_RESULTS_DB__URL: the run was asked for with the results database {address}, "
                f"and where it takes place the settings name {service.results_db.address}, which "
                "is another. Give the worker the same variables."
            ) from None

    def _executed(self, local: LocalRun) -> tuple[State[Any], Outcome]:
        try:
            value = local.execute()
        except RunCancelledError as error:
            return Cancelled(message=str(error)), failed(error, local)
        except RunTimeoutError as error:
            return Failed(name="TimedOut", message=str(error)), failed(error, local)
        except Exception as error:
            return Failed(message=_in_words(error)), failed(error, local)
        except BaseException as error:  # SystemExit and the like
            return Crashed(message=_in_words(error)), failed(error, local)
        return Completed(), Outcome(value, task_results=local.task_results())

    def _delivered(
        self, state: State[Any], outcome: Outcome, *, within_s: float
    ) -> tuple[State[Any], str | None]:
        """Store what came of the run; the state that it ends in, and the digest of the blob.

        The blob goes into the results database itself, which is waited for: in the outbox nobody
        would look for it, and it might go with the container.
        """

        def patiently(work: Callable[[], T]) -> T:
            return retried(
                work,
                lambda error: isinstance(error, ResultsDBUnavailableError),
                what=f"The results database at {service.results_db.address}",
                within_s=within_s,
            )

        def put_blob(data: Buffer) -> str:
            digest: str = patiently(lambda: service.results_db.put_blob(data))
            return digest

        try:
            service = context.results_db_service()
            patiently(service.flush)  # what the flow has recorded meanwhile
            try:
                return state, outcome.store(put_blob)
            except SerializationError as error:
                return Failed(message=_in_words(error)), failed(error).store(put_blob)
        except LUMEServicesError as error:
            if not state.is_completed():
                return state, None
            # Nobody could get at the value, so that the run is no success.
            return Failed(message=f"What it returned could not be stored: {error}"), None

    def _end(self, state: State[Any], digest: str | None) -> int:
        if digest is not None:
            labels: dict[str, Any] = {OUTCOME: digest}
            self._patiently(lambda: self._client.update_flow_run_labels(self._run.id, labels))
        self._set_state(state)
        return 0

    def _set_state(self, state: State[Any]) -> None:
        self._patiently(lambda: self._client.set_flow_run_state(self._run.id, state, force=True))

    def _patiently(self, ask: Callable[[], T]) -> T:
        return _patiently(self._client, ask)

    # --- Meanwhile -------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Until the run is over: send what it logs, show that it is alive, hear what is asked."""
        shown = -math.inf
        with get_client(sync_client=True) as client:
            while not self._over.is_set():
                # The server may be away; the run goes on, and each of these by itself.
                with _forgiven():
                    if time.monotonic() - shown > _ALIVE_S:
                        self._show_alive(client)
                        shown = time.monotonic()
                with _forgiven():
                    self._listen(client)
                with _forgiven():
                    self._send_logs(client)
                self._over.wait(_LISTEN_S)
            if self._stopping is not None:
                self._stopping.cancel()
            with suppress(Exception):  # the lines are in the worker's log as well
                while self._send_logs(client):
                    pass

    def _listen(self, client: SyncPrefectClient) -> None:
        """Hear whether the run is to stop, and put right that it is taken for dead."""
        run = client.read_flow_run(self._run.id)
        if self._stopping is None and self._is_to_stop(run):
            self._stop()
        if run.state is not None and run.state.is_crashed() and not self._over.is_set():
            client.set_flow_run_state(run.id, Running(), force=True)

    def _send_logs(self, client: SyncPrefectClient) -> bool:
        """Send what has been logged since; whether there was any."""
        records = [] if self._local is None else self._local.logs[self._told :][:_LINES_AT_ONCE]
        if records:
            client.create_logs(
                LogCreate(
                    name="prefect.flow_runs" if one.task is None else LOGGER_OF_TASKS + one.task,
                    level=logging.getLevelNamesMapping().get(one.level, logging.INFO),
                    message=one.message,
                    timestamp=one.time,
                    flow_run_id=self._run.id,
                )
                for one in records
            )
            self._told += len(records)
        return bool(records)

    def _show_alive(self, client: SyncPrefectClient) -> None:
        resource = {
            "prefect.resource.id": f"prefect.flow-run.{self._run.id}",
            "prefect.resource.name": self._run.name,
        }
        event = Event(event=HEARTBEAT, resource=resource)
        # Not by emit_event(), which sends it at some later time.
        client.request("POST", "/events", json=[event.model_dump(mode="json")])

    def _is_to_stop(self, run: FlowRun) -> bool:
        return run.state is not None and run.state.type in (
            StateType.CANCELLING,
            StateType.CANCELLED,
        )

    def _stop(self) -> None:
        """Ask the flow to stop, which it hears at its next task; end the process if it does not."""
        if self._local is not None:
            self._local.cancel()
        self._stopping = threading.Timer(_GRACE_S, self._end_at_once)
        self._stopping.daemon = True
        self._stopping.start()

    def _told_to_end(self, *_: object) -> None:
        """Stop in good order where the run was cancelled, else end at once."""
        with _forgiven(), get_client(sync_client=True) as client:
            if self._is_to_stop(client.read_flow_run(self._run.id)):
                if self._stopping is None:
                    self._stop()
                return
        self._end_at_once()

    def _end_at_once(self) -> None:
        def tell() -> None:
            with get_client(sync_client=True) as client:
                run = client.read_flow_run(self._run.id)
                if self._is_to_stop(run):
                    state: State[Any] = Cancelled(message="Ended by its job.")
                else:
                    state = Crashed(message="The job was told to end (SIGTERM).")
                if run.state is None or not run.state.is_final():
                    client.set_flow_run_state(run.id, state, force=True)

        code = 1
        try:
            _patiently(self._client, tell, within_s=_GRACE_S)
            code = 0
        finally:
            os._exit(code)


def _patiently(
    client: SyncPrefectClient, ask: Callable[[], T], *, within_s: float = _PATIENCE_S
) -> T:
    """Ask the server something, also when it, or its database, is away for a while."""

    def is_away(error: BaseException) -> bool:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code >= 500 or error.response.status_code == 429
        return isinstance(error, httpx.TransportError)

    what = f"The Prefect server at {client.api_url}"
    return retried(ask, is_away, what=what, within_s=within_s)


@contextmanager
def _forgiven() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).warning("Prefect's server: %s", error)


def failed(error: BaseException, local: LocalRun | None = None) -> Outcome:
    """What came of a run that an exception ended."""
    described = describe_error(error)
    failure = RemoteFailure(
        described["type"],
        described["message"],
        described["traceback"],
        error.args if isinstance(error, Exception) else None,
    )
    return Outcome(failure=failure, task_results={} if local is None else local.task_results())


def _in_words(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()
