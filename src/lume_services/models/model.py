"""``Model``: what is registered, evaluated, run, and whose results are found again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lume_services.context import context
from lume_services.errors import (
    AmbiguousError,
    DeploymentNotFoundError,
    FlowNotFoundError,
    InvalidInputError,
    LUMEServicesError,
    LUMEServicesWarning,
    ModelFailedError,
    ModelNotFoundError,
    SerializationError,
)
from lume_services.models._deployed import FLOW_NAME, Deployed, flow_entry_point, flow_name
from lume_services.models._queries import documents_of
from lume_services.models.evaluation import Evaluator, entry_point_of, source_hash
from lume_services.models.points import points_of
from lume_services.models.sweep import run_sweep
from lume_services.results import Result, frame

if TYPE_CHECKING:
    import pandas as pd

    from lume_services.services.models import ModelDBService
    from lume_services.services.models.db.schema import Deployment, Flow
    from lume_services.services.scheduling.backends import FlowRunHandle

__all__ = ["Model"]


class Model:
    """A model in the registry, with the deployment of it that is in use.

    Args:
        model_id: Its id in the registry.
        service: The registry; the configured one when not given.

    Attributes:
        model_id: Its id in the registry.
        author: Who wrote it.
        laboratory: Where it is used, ``SLAC``.
        facility: The machine it describes, ``LCLS``.
        beampath: The part of the machine, ``CU_HXR``.
        description: What it is; with the four before it, its identity.

    Raises:
        ModelNotFoundError: The registry has no model of that id.
    """

    def __init__(self, model_id: int, *, service: ModelDBService | None = None) -> None:
        self._service = service
        row = self._registry.get_model(model_id=model_id)
        self.model_id: int = row.model_id
        self.author: str = row.author
        self.laboratory: str = row.laboratory
        self.facility: str = row.facility
        self.beampath: str = row.beampath
        self.description: str = row.description
        self._in_use: Deployed | None = None

    @classmethod
    def create_model(
        cls,
        *,
        description: str,
        author: str = "",
        laboratory: str = "",
        facility: str = "",
        beampath: str = "",
        service: ModelDBService | None = None,
    ) -> Model:
        """Register a model, or find the one of that identity.

        Idempotent, also when several processes do it at the same time.

        Args:
            description: What it is, up to 255 characters.
            author: Who wrote it, up to 50 characters, like the next three.
            laboratory: Where it is used.
            facility: The machine it describes.
            beampath: The part of the machine.
            service: The registry; the configured one when not given.

        Raises:
            InvalidInputError: The description is empty.
            ModelDBError: A text is too long, or the registry cannot be reached.
        """
        if not description:
            raise InvalidInputError("description is empty: say in a few words what the model is")
        model_id = (service or context.model_db_service()).store_model(
            description=description,
            author=author,
            laboratory=laboratory,
            facility=facility,
            beampath=beampath,
        )
        return cls(model_id, service=service)

    @classmethod
    def of_flow(cls, flow_id: str, *, service: ModelDBService | None = None) -> Model:
        """The model that a flow is of, with the deployment that it runs in use.

        Raises:
            FlowNotFoundError: The registry has no flow of that id.
        """
        registry = service or context.model_db_service()
        flow = registry.get_flow(flow_id=flow_id)
        model = cls(flow.deployment.model_id, service=service)
        model._use(flow.deployment)
        return model

    @classmethod
    def find(cls, name: str | int, *, service: ModelDBService | None = None) -> Model:
        """Find a model by its id or its description.

        Raises:
            ModelNotFoundError: There is none.
            AmbiguousError: Several have that description; the message lists them.
        """
        registry = service or context.model_db_service()
        if str(name).isdecimal():
            # A description may be a number too.
            with suppress(ModelNotFoundError):
                return cls(int(name), service=service)
        try:
            rows = registry.get_models(description=str(name))
        except ModelNotFoundError:
            raise ModelNotFoundError(
                f"No model is called {name!r}. `lume-services models list` shows what there is."
            ) from None
        if len(rows) > 1:
            listed = "\n".join(
                f"  {row.model_id}: {row.author} {row.laboratory} {row.facility} {row.beampath}"
                for row in rows
            )
            raise AmbiguousError(f"{len(rows)} models are called {name!r}; use the id:\n{listed}")
        return cls(rows[0].model_id, service=service)

    def register(
        self,
        obj: Any,
        *,
        version: str,
        project_name: str = "local",
        is_live: bool = True,
        flow: Callable[..., Any] | None = None,
    ) -> Deployment:
        """Store a version of this model, and use it from now on.

        Args:
            obj: A ``LUMEModel`` class or instance, an object with ``evaluate(dict) -> dict``, or a
                callable ``dict -> dict``. What can be imported is recorded as ``module:name``, so
                that other processes can load it. What is defined in a notebook or script works in
                this process only, and a warning says so.
            version: PEP 440 version, ``1.0.0``.
            project_name: Where its flow and results belong.
            is_live: Whether it becomes the version that is used when none is named.
            flow: What ``run`` runs, a flow at the top of a module. Without one, ``run`` evaluates
                the model and records the result.

        Returns:
            The deployment as the registry keeps it.

        Raises:
            InvalidInputError: The version is not a PEP 440 version.
            ModelDBError: The version is stored already and is something else.
            ModelLoadError: ``obj`` is not a model.
        """
        evaluator = Evaluator(obj)
        entry_point = entry_point_of(obj)
        flows: dict[str, str | None] = {FLOW_NAME: None}
        if flow is not None:
            flows[flow_name(flow)] = flow_entry_point(flow)
        registry = self._registry
        deployment_id = registry.store_deployment(
            model_id=self.model_id,
            version=version,
            kind="python",
            entry_point=entry_point,
            sha256=source_hash(obj),
            variables=evaluator.schema(),
            project_name=project_name,
            flows=flows,
            is_live=is_live,
        )
        self._use(registry.get_deployment(deployment_id=deployment_id)).keep(evaluator)
        if entry_point is None:
            warnings.warn(
                f"{self.description!r} {version} is defined in a notebook or script: it can be "
                "used in this process only. Put it into a module to use it from others.",
                LUMEServicesWarning,
                stacklevel=2,
            )
        return self.deployment

    def store_deployment(
        self,
        source: str | Path,
        project_name: str = "local",
        is_live: bool = True,
        *,
        tell: Callable[[str], object] = lambda _: None,
    ) -> Deployment:
        """Store a version of this model from a package, and use it from now on.

        The package is read, its environment is made under ``LUME_HOME/environments``, the model is
        loaded there once to see what it is, and then all of it is recorded at once: whatever fails,
        nothing is left. A package that is stored already is found.

        Args:
            source: An sdist or wheel, by its path or URL, or the folder of a checkout.
            project_name: Where its flows and results belong.
            is_live: Whether it becomes the version that is used when none is named.
            tell: Is told, in a line each, what is being done.

        Returns:
            The deployment as the registry keeps it.

        Raises:
            PackageError: The package is refused, cannot be had, or its model cannot be loaded.
            EnvironmentBuildError: What it needs could not be installed; the message names the log.
            ModelDBError: The version is stored already and is something else.
        """
        from lume_services.models._storing import store_package

        deployment_id = store_package(
            self._registry,
            self.model_id,
            str(source),
            project_name=project_name,
            is_live=is_live,
            tell=tell,
        )
        self._use(self._registry.get_deployment(deployment_id=deployment_id))
        return self.deployment

    def load_deployment(
        self, deployment_id: int | None = None, *, version: str | None = None
    ) -> Deployment:
        """Choose the version to use.

        Args:
            deployment_id: Its id in the registry.
            version: The version, in the place of the id. When neither is given, the live one, or
                else the latest.

        Raises:
            DeploymentNotFoundError: There is no such deployment.
        """
        registry = self._registry
        criteria = {"version": version, "deployment_id": deployment_id}
        criteria = {name: value for name, value in criteria.items() if value is not None}
        try:
            if criteria:
                deployment = registry.get_deployment(model_id=self.model_id, **criteria)
            else:
                deployment = registry.get_current_deployment(model_id=self.model_id)
        except DeploymentNotFoundError:
            raise DeploymentNotFoundError(self._no_such(criteria)) from None
        self._use(deployment)
        return deployment

    @property
    def deployment(self) -> Deployment:
        """The deployment in use: the live one, or else the latest, unless another was loaded."""
        return self._deployed.deployment

    @property
    def flow(self) -> Flow:
        """The flow under which results of the deployment in use are recorded."""
        return self._deployed.flow

    @property
    def run_flow(self) -> Flow:
        """The flow that ``run`` runs: the one it was registered with, or else ``flow``."""
        return self._deployed.run_flow

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        """Inputs and outputs of the deployment in use: name, unit, range and the rest, by name."""
        return self.deployment.variables or {}

    def evaluate(self, inputs: Mapping[str, Any] | None = None) -> Result:
        """Evaluate the model in this process and record the result.

        Args:
            inputs: Values by name; what is not given takes its default.

        Returns:
            The recorded result. Where the same model gave the same outputs for these inputs before,
            that result stays the recorded one, and this one has its id.

        Raises:
            InvalidInputError: A name is unknown, or a value has the wrong type or is out of range.
            SerializationError: An output cannot be kept; recorded as a failure.
            ModelFailedError: The model raised ``SystemExit``.
            Exception: Whatever the model raises, unchanged, after the failure was recorded.
        """
        return self._evaluate(inputs or {}, str(uuid4()))

    def _evaluate(self, inputs: Mapping[str, Any], run_id: str) -> Result:
        evaluator = self._deployed.evaluator
        checked = evaluator.check(inputs)
        outcome = evaluator.outcome(checked)
        result = self._deployed.result(checked, outcome, run_id)
        try:
            result.insert()
        except SerializationError as error:  # outputs that cannot be kept are a failure too
            outcome = outcome.failed(error)
            result = self._deployed.result(checked, outcome, run_id)
            result.insert()
        except LUMEServicesError as error:
            raise error from outcome.exception
        if outcome.exception is not None:
            if isinstance(outcome.exception, SystemExit):  # it must not end the caller's program
                outcome = outcome.failed(
                    ModelFailedError(f"The model ended the program: {outcome.exception!r}")
                )
            assert outcome.exception is not None
            outcome.exception.add_note(f"Recorded as failed result {result.id}.")
            raise outcome.exception
        return result

    def sweep(
        self,
        points: Iterable[Mapping[str, Any]] | pd.DataFrame,
        max_workers: int | None = None,
    ) -> pd.DataFrame:
        """Evaluate the model at many points and record every result.

        Points that have succeeded before, in this or an earlier sweep, are not evaluated again. A
        point that fails is recorded with its error, and the others go on.

        Args:
            points: Dictionaries, a frame with a column an input, or ``grid(x=…, y=…)``.
            max_workers: Processes to use on this machine; as many as it has cores when not given,
                0 for this process itself, which is also where a model that is defined in a
                notebook or script is evaluated.

        Returns:
            A row a point, in the order of the points, with the columns of ``get_results_df``.

        Raises:
            InvalidInputError: A point is not one of this model; nothing has been evaluated then.
        """
        return run_sweep(self._deployed, points_of(points), max_workers)

    def run(self, parameters: Mapping[str, Any] | None = None) -> FlowRunHandle:
        """Run the model's flow on the configured backend and record the result.

        Args:
            parameters: The model's inputs by name.

        Returns:
            A handle to wait for, with ``result``, ``logs`` and ``state``.
        """
        return context.scheduling_service().run(**self._deployed.run_arguments(parameters or {}))

    def run_and_return(
        self, parameters: Mapping[str, Any] | None = None, task_name: str | None = None
    ) -> Any:
        """Run the model's flow, wait for it, and return the recorded ``Result``.

        Args:
            parameters: The model's inputs by name.
            task_name: Return what this task of the flow returned, in the place of the result.
        """
        return context.scheduling_service().run_and_return(
            **self._deployed.run_arguments(parameters or {}), task_name=task_name
        )

    def schedule(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        cron: str | None = None,
        every: timedelta | None = None,
    ) -> str:
        """Have the model's flow run again and again on the configured backend.

        Args:
            parameters: The model's inputs by name.
            cron: When, ``"0 6 * * 1-5"``: minute, hour, day of month, month, day of week, in UTC.
            every: Or how often.

        Returns:
            The id of the schedule.

        Raises:
            FlowError: The backend has no schedules.
            InvalidInputError: An input is wrong, or when it is to run.
        """
        backend = context.scheduling_service().backend
        what = self._deployed.run_arguments(parameters or {})
        parameters = what.pop("parameters")
        what.pop("run_config", None)  # a schedule takes none; its jobs make the environment
        flow_id = backend.register_flow(**what)
        return backend.schedule(flow_id=flow_id, parameters=parameters, cron=cron, every=every)

    def get_results(
        self,
        query: Mapping[str, Any] | None = None,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int | None = None,
        all_deployments: bool = False,
    ) -> list[Result]:
        """Results of the deployment in use.

        Args:
            query: In MongoDB's query language, ``{"inputs.x": {"$gt": 1.0}}``.
            sort: ``[("date_modified", -1)]``: fields, 1 for ascending and -1 for descending.
            limit: At most so many.
            all_deployments: Whether results of the model's other versions are wanted too.

        Raises:
            UnsupportedQueryError: An operator is not understood.
        """
        get_blob = context.results_db_service().get_blob
        documents = self._documents(query, sort, limit, all_deployments)
        return [Result.from_document(document, get_blob) for document in documents]

    def get_results_df(
        self,
        query: Mapping[str, Any] | None = None,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int | None = None,
        all_deployments: bool = False,
        large_values: bool = True,
    ) -> pd.DataFrame:
        """Results of the deployment in use as a table.

        Args:
            query: See ``get_results``, as for the next three.
            sort: In which order.
            limit: At most so many.
            all_deployments: Whether results of the model's other versions are wanted too.
            large_values: Whether values over 1 MiB are read. Otherwise a line of text about each
                stands in its place, which is much quicker.

        Returns:
            A row a result, with columns ``inputs.x``, ``outputs.y``, ``date_modified``,
            ``flow_id``, ``version`` and ``status``; arrays are objects.
        """
        documents = self._documents(query, sort, limit, all_deployments)
        get_blob = context.results_db_service().get_blob if large_values else None
        return frame(documents, get_blob)

    def __repr__(self) -> str:
        return f"Model(model_id={self.model_id}, description={self.description!r})"

    def _repr_html_(self) -> str:
        from lume_services.models._html import to_html

        return to_html(self)

    @property
    def _registry(self) -> ModelDBService:
        return self._service or context.model_db_service()

    @property
    def _deployed(self) -> Deployed:
        if self._in_use is None:
            self.load_deployment()
        assert self._in_use is not None
        return self._in_use

    def _use(self, deployment: Deployment) -> Deployed:
        flows = self._flows_of(deployment.deployment_id)
        self._in_use = Deployed(deployment, flows, self._registry.load_package)
        return self._in_use

    def _no_such(self, criteria: Mapping[str, object]) -> str:
        try:
            there = self._registry.get_deployments(model_id=self.model_id)
        except DeploymentNotFoundError:
            return (
                f"{self.description!r} has no version yet: store one by Model.register, or a "
                "package by `lume-services deployments store`."
            )
        wanted = ", ".join(f"{name}={value!r}" for name, value in criteria.items())
        versions = ", ".join(one.version for one in there)
        return f"{self.description!r} has no deployment with {wanted}; its versions are {versions}."

    def _flows_of(self, deployment_id: int) -> list[Flow]:
        try:
            return self._registry.get_flows(deployment_id=deployment_id)
        except FlowNotFoundError:
            return []

    def _documents(
        self,
        query: Mapping[str, Any] | None,
        sort: Sequence[tuple[str, int]] | None,
        limit: int | None,
        all_deployments: bool,
    ) -> list[dict[str, Any]]:
        deployments = [self.deployment]
        if all_deployments:
            deployments = self._registry.get_deployments(model_id=self.model_id)
        flows = [
            flow for deployment in deployments for flow in self._flows_of(deployment.deployment_id)
        ]
        return documents_of(
            flows,
            self.variables,
            context.results_db_service(),
            query=query,
            sort=sort,
            limit=limit,
        )
