"""What the backends behind a Prefect server have in common: deployments and runs of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID, uuid4

from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import State
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from lume_services.engine import entry_point_of
from lume_services.errors import FlowNotFoundError, InvalidInputError, RunError
from lume_services.services.scheduling.backends._elsewhere import refuse_embedded_stores
from lume_services.services.scheduling.backends.backend import Backend, Capability
from lume_services.services.scheduling.backends.prefect_api import PrefectAPI
from lume_services.services.scheduling.backends.server_run import ServerRun
from lume_services.services.scheduling.labels import STORES
from lume_services.services.scheduling.outcomes import to_api
from lume_services.services.scheduling.run_configs import RunConfig
from lume_services.services.scheduling.settings import PrefectConfig

if TYPE_CHECKING:
    import prefect

    from lume_services.services.results import ResultsDBService

__all__ = ["ServerBackend"]


class ServerBackend(Backend):
    """Runs flows by a Prefect server and a worker: base of those that differ in what a worker does.

    A flow becomes a deployment, named ``<project>.<flow_id>`` and tagged with both, in a work pool.
    What is sent to the server holds no secrets: parameters that JSON cannot hold, and all that a
    run gives back, are blobs of the results database.

    Args:
        api: The server.
        results: Gives the results service.
        work_pool: The work pool; by default ``lume-`` and the type.
    """

    capabilities = frozenset(Capability) - {Capability.IN_PROCESS}
    pool_type: ClassVar[str]
    """Type of Prefect's worker."""
    run_config_type: ClassVar[type[RunConfig]]
    """What ``run_config`` is to be."""
    shares_disk: ClassVar[bool] = False
    """Whether jobs may be where who asks for them is, and so use stores that are files."""

    def __init__(
        self,
        api: PrefectAPI,
        results: Callable[[], ResultsDBService],
        *,
        work_pool: str | None = None,
    ) -> None:
        self.api = api
        self.work_pool = work_pool or f"lume-{self.pool_type}"
        self._results = results
        self._has_pool = False
        self._token = f"lume-services: runs asked for by {uuid4()}".encode()
        self._flows: dict[str, prefect.Flow[..., Any]] = {}
        self._registered: dict[str, tuple[UUID, dict[str, Any]]] = {}

    @classmethod
    def from_settings(cls, settings: Any, *, results: Callable[[], ResultsDBService]) -> Self:
        """Make the backend of the ``LUME_PREFECT__…`` settings.

        Raises:
            ConfigurationError: A store is a file of this machine, and jobs could not reach it.
        """
        if not cls.shares_disk:
            refuse_embedded_stores(settings)
        prefect = settings.prefect or PrefectConfig()
        return cls(PrefectAPI(prefect.api_url, prefect.ui_url), results)

    def register(
        self, *, flow: prefect.Flow[..., Any], flow_id: str, project_name: str = "local"
    ) -> None:
        """Make, or bring up to date, the deployment of a flow; see ``Backend.register``.

        Raises:
            FlowError: The flow is not at the top of a module, so that no job could import it.
        """
        if self._flows.get(flow_id) is flow:
            return
        schema = parameter_schema(flow.fn).model_dump_for_openapi()
        facts: dict[str, Any] = {
            "entrypoint": entry_point_of(flow).replace(":", "."),
            "work_pool_name": self.work_pool,
            "tags": [project_name, flow_id],
            "parameter_openapi_schema": schema,
            "description": flow.description,
            "version": flow.version,
        }
        name = f"{project_name}.{flow_id}"
        self.make_work_pool()
        with self.api.client() as client:
            try:
                known = client.read_deployment_by_name(f"{flow.name}/{name}")
            except ObjectNotFound:
                deployment = client.create_deployment(
                    client.create_flow_from_name(flow.name),
                    name=name,
                    enforce_parameter_schema=False,  # what JSON cannot hold is sent encoded
                    **facts,
                )
            else:
                deployment = known.id
                # Made again, it would lose its schedules.
                if any(getattr(known, one) != fact for one, fact in facts.items()):
                    client.update_deployment(deployment, DeploymentUpdate(**facts))
        self._registered[flow_id] = deployment, schema
        self._flows[flow_id] = flow

    def submit(
        self,
        *,
        flow_id: str,
        parameters: Mapping[str, Any] | None = None,
        run_config: RunConfig | None = None,
        name: str | None = None,
        start_at: datetime | None = None,
    ) -> ServerRun:
        """Start a run of a deployment; see ``Backend.submit``.

        Raises:
            FlowNotFoundError: The server has no deployment of that flow.
            InvalidInputError: A parameter is unknown or missing, or the run configuration is not
                one for this backend.
            SchedulingUnavailableError: The Prefect server does not answer.
            ResultsDBError: Large parameters could not be stored.
        """
        if run_config is not None and type(run_config) is not self.run_config_type:
            raise InvalidInputError(
                f"{type(self).__name__} takes a {self.run_config_type.__name__}, not a "
                f"{type(run_config).__name__}."
            )
        deployment, schema = self._deployment(flow_id)
        given = dict(parameters or {})
        _check_parameters(schema, given)
        results = self._results()
        # The job looks for it, and so sees whether its results database is that of who asks.
        token = results.put_blob(self._token)
        moment: State[Any] | None = None
        if start_at is not None:
            moment = Scheduled(scheduled_time=start_at.astimezone(UTC))
        sent = to_api(given, results.put_blob)
        with self.api.client() as client:
            try:
                run = client.create_flow_run_from_deployment(
                    deployment,
                    parameters=sent,
                    name=name,
                    state=moment,
                    job_variables=None if run_config is None else run_config.job_variables(),
                    labels={STORES: f"{token} {results.results_db.address}"},
                    # The client asks again when a connection is lost: one run comes of it.
                    idempotency_key=str(uuid4()),
                )
            except PrefectHTTPStatusError as error:
                if error.response.status_code != 404:
                    raise
                self._registered.pop(flow_id, None)
                self._flows.pop(flow_id, None)
                raise FlowNotFoundError(self._unknown(flow_id)) from None
        return ServerRun(self.api, results, run)

    def run_config_of(self, *, image: str) -> RunConfig | None:
        """See ``Backend.run_config_of``."""
        if "image" not in self.run_config_type.model_fields:
            return None
        return self.run_config_type.model_validate({"image": image})

    def schedule(
        self,
        *,
        flow_id: str,
        parameters: Mapping[str, Any] | None = None,
        cron: str | None = None,
        every: timedelta | None = None,
    ) -> str:
        """Let the server start runs of a deployment; see ``Backend.schedule``."""
        if (cron is None) == (every is None):
            raise InvalidInputError("Give either cron or every.")
        deployment, schema = self._deployment(flow_id)
        given = dict(parameters or {})
        _check_parameters(schema, given)
        when: SCHEDULE_TYPES
        try:
            when = IntervalSchedule(interval=every) if every else CronSchedule(cron=str(cron))
        except ValidationError as error:
            reason = error.errors(include_url=False, include_context=False)[0]["msg"]
            raise InvalidInputError(f"cron={cron!r}, every={every}: {reason}") from None
        sent = to_api(given, _refuse_blob)
        with self.api.client() as client:
            (made,) = client.create_deployment_schedules(
                deployment,
                [DeploymentScheduleCreate(schedule=when, parameters=sent)],
            )
        return str(made.id)

    def schedules(self, *, flow_id: str) -> dict[str, str]:
        """The schedules of a flow: what each says, by its id."""
        with self.api.client() as client:
            found = client.read_deployment_schedules(self._deployment(flow_id)[0])
        return {str(one.id): _in_words(one.schedule) for one in found}

    def unschedule(self, *, flow_id: str, schedule_id: str) -> None:
        """Delete a schedule of a flow.

        Raises:
            InvalidInputError: The flow has no such schedule.
        """
        if schedule_id not in self.schedules(flow_id=flow_id):
            raise InvalidInputError(f"The flow has no schedule {schedule_id!r}.")
        with self.api.client() as client:
            client.delete_deployment_schedule(self._deployment(flow_id)[0], UUID(schedule_id))

    def load_flow(self, *, flow_id: str) -> prefect.Flow[..., Any]:
        """Import a flow that is registered; see ``Backend.load_flow``."""
        from prefect.flows import load_flow_from_entrypoint

        with self.api.client() as client:
            found = client.read_deployment(self._deployment(flow_id)[0])
        return load_flow_from_entrypoint(str(found.entrypoint), use_placeholder_flow=False)

    def handle(self, run_id: str) -> ServerRun:
        """The handle of a run that was started elsewhere, or earlier.

        Raises:
            RunError: The server knows no such run.
        """
        with self.api.client() as client:
            try:
                run = client.read_flow_run(UUID(run_id))
            except (ObjectNotFound, ValueError):
                raise RunError(f"The Prefect server knows no run {run_id!r}.") from None
        return ServerRun(self.api, self._results(), run)

    def list_runs(self, *, flow_id: str | None = None, limit: int = 20) -> list[ServerRun]:
        """The handles of the runs in the work pool, the newest first.

        Args:
            flow_id: The flow, where only its runs are wanted.
            limit: How many, at most.
        """
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self.work_pool]))
        tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[flow_id])) if flow_id else None
        with self.api.client() as client:
            runs = client.read_flow_runs(
                work_pool_filter=pool,
                deployment_filter=tagged,
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=limit,
            )
        return [ServerRun(self.api, self._results(), run) for run in runs]

    def make_work_pool(self) -> None:
        """Make the work pool, unless it is there; asked once by a process."""
        if not self._has_pool:
            self.api.make_work_pool(self.work_pool, self.pool_type)
            self._has_pool = True

    def close(self) -> None:
        """Let go of the connection to the server."""
        self.api.close()

    def _deployment(self, flow_id: str) -> tuple[UUID, dict[str, Any]]:
        if flow_id not in self._registered:
            tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[flow_id]))
            with self.api.client() as client:
                found = client.read_deployments(deployment_filter=tagged)
            found = [one for one in found if one.work_pool_name == self.work_pool]
            if not found:
                raise FlowNotFoundError(self._unknown(flow_id))
            self._registered[flow_id] = found[0].id, found[0].parameter_openapi_schema or {}
        return self._registered[flow_id]

    def _unknown(self, flow_id: str) -> str:
        return (
            f"The Prefect server at {self.api.url} has no deployment of the flow {flow_id!r}: "
            "register it first."
        )


def _refuse_blob(_: object) -> str:
    # As a blob that no result refers to it would be deleted in the end.
    raise InvalidInputError(
        "A schedule takes parameters that are numbers, texts, lists and the like, under 32 kB: "
        "store large ones, and have the flow load them."
    )


def _in_words(schedule: Any) -> str:
    if isinstance(schedule, CronSchedule):
        return schedule.cron
    return f"every {schedule.interval}"


def _check_parameters(schema: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    known = schema.get("properties", {})
    for name in sorted(set(given) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInputError(
            f"The flow has no parameter {name!r}.{hint} It takes: {', '.join(known) or 'none'}."
        )
    if missing := [name for name in schema.get("required", ()) if name not in given]:
        raise InvalidInputError(f"The flow needs a value for: {', '.join(missing)}.")
