"""``ModelDBService``: what the registry is asked and told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    exists,
    select,
)

from lume_services.errors import ConstraintError, InvalidInputError, ModelDBError
from lume_services.services.models import _deployments, _flow_of_flows, _packages
from lume_services.services.models._criteria import age, asked, matching, not_found, only
from lume_services.services.models._rows import R, stored
from lume_services.services.models.db import ModelDB
from lume_services.services.models.db.schema import (
    DEPLOYMENT,
    FLOW,
    FLOW_OF_FLOWS,
    MODEL,
    PROJECT,
    Deployment,
    Flow,
    FlowOfFlows,
    Model,
    Project,
    check_text,
)
from lume_services.services.models.identity import flow_id as make_flow_id
from lume_services.services.models.identity import normalized_version

__all__ = ["ModelDBService"]

_OTHER = DEPLOYMENT.alias()
_LIVE_OR_NONE_IS = DEPLOYMENT.c.is_live | ~exists().where(
    _OTHER.c.model_id == DEPLOYMENT.c.model_id, _OTHER.c.is_live
)
"""Of a deployment: whether it is live, or none of its model is."""


class ModelDBService:
    """The model registry.

    ``get_…`` methods take columns of their table as keywords (``docs/registry.md`` lists them; a
    None asks for rows without a value), raise ``InvalidInputError`` for one that does not exist,
    and the table's ``NotFoundError`` when nothing matches, also where a list is returned. Rows
    are read-only copies with what they belong to: ``flow.deployment.model``.

    ``store_…`` methods may be repeated: what is already there is found, not stored again, also
    when several processes do it at once.

    Args:
        model_db: The database. Nothing is connected before the first call.

    Every method tries again what failed for a passing reason, see ``ModelDB.run``.

    Raises:
        ModelDBError: From every method: the database refused a statement, or a text cannot be
            kept, such as one that is longer than its column.
        ModelDBUnavailableError: From every method: it cannot be reached, or was lost, for now.
        ConfigurationError: From every method: it refused the user, the password, or another
            setting.
    """

    def __init__(self, model_db: ModelDB) -> None:
        self._model_db = model_db

    # Models

    def store_model(
        self, author: str, laboratory: str, facility: str, beampath: str, description: str
    ) -> int:
        """Store a model, or find it: the five names together are its identity.

        Args:
            author: Who is responsible for it; up to 50 characters, like the next three.
            laboratory: The laboratory it is of.
            facility: The facility it is of.
            beampath: The beampath that it describes.
            description: What it is; up to 255 characters.

        Returns:
            Its ``model_id``.

        Raises:
            InvalidInputError: A name begins or ends with white space.
        """
        names = {
            "author": author,
            "laboratory": laboratory,
            "facility": facility,
            "beampath": beampath,
            "description": description,
        }
        _check_names(**names)
        model_id: int = self._get_or_create(MODEL, names)["model_id"]
        return model_id

    def get_model(self, **criteria: object) -> Model:
        """Get the one model that matches.

        Raises:
            ModelNotFoundError: None matches.
            AmbiguousError: Several do; the message lists them.
        """
        return only(self._find(Model, criteria), criteria)

    def get_models(self, **criteria: object) -> list[Model]:
        """Get every model that matches, in the order they were stored.

        Raises:
            ModelNotFoundError: None matches.
        """
        return self._find(Model, criteria)

    # Deployments

    def store_deployment(
        self,
        model_id: int,
        version: str,
        source: str | None = None,
        sha256: str | None = None,
        image: str | None = None,
        package_import_name: str | None = None,
        is_live: bool = False,
        asset_dir: str | None = None,
        *,
        kind: str = "package",
        entry_point: str | None = None,
        variables: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, Any] | None = None,
        archive: Path | None = None,
        project_name: str = "local",
        flows: Mapping[str, str | None] | None = None,
    ) -> int:
        """Store a version of a model, with its flows and archive; all is visible at once.

        A version is stored once. Storing it again with the same content gives the deployment that
        is there, and promotes it if ``is_live``; with other content it is refused. Where both have
        a ``sha256``, the ``source`` may differ: the hash says that it is the same code.

        Args:
            model_id: The model.
            version: PEP 440 version, kept as ``str(packaging.version.Version(version))``.
            source: Where the code is: path or URL of an sdist.
            sha256: Hash of the code, 64 hexadecimal digits.
            image: Container image that its flows run in.
            package_import_name: Name that the package is imported by.
            is_live: Whether to promote it. False leaves the live deployment what it is.
            asset_dir: Folder of further files.
            kind: How the model is loaded: ``package``, or a word of who registers it.
            entry_point: ``module:name`` of what to import; None where another process cannot.
            variables: Schema of inputs and outputs: name to ``model_dump(mode="json")`` of the
                lume-base variable.
            environment: What a package runs with; the first that is stored is kept.
            archive: The file with the package, to be kept too; its sha256 is the ``sha256``.
            project_name: Project of the flows; made when it is not stored.
            flows: Flows to store with it: the entry point of each, or None, by its name.

        Returns:
            Its ``deployment_id``.

        Raises:
            ModelNotFoundError: There is no such model.
            InvalidInputError: The version is not a PEP 440 version, or JSON cannot hold variables.
            ModelDBError: This version is stored with other content.
        """
        values = {
            "model_id": model_id,
            "version": normalized_version(version),
            "source": source,
            "sha256": sha256,
            "image": image,
            "package_import_name": package_import_name,
            "is_live": False,
            "asset_dir": asset_dir,
            "kind": kind,
            "entry_point": entry_point,
            "variables": _as_json(variables),
            "environment": environment,
        }
        for name in flows or ():
            _check_names(flow_name=name)
        if flows:
            self.store_project(project_name)
        new_flows = _deployments.NewFlows(project_name, flows or {})

        def store(connection: Connection) -> int:
            if archive is not None:
                values["sha256"] = _packages.store(connection, archive)
            return _deployments.store(connection, values, version, new_flows, is_live=is_live)

        try:
            return self._model_db.run(store, write=True)
        except ConstraintError:
            # Another process was first to store the same archive; or it is another constraint.
            return self._model_db.run(store, write=True)

    def load_package(self, sha256: str, folder: Path) -> Path:
        """Write the archive of a package into a folder.

        Args:
            sha256: The ``sha256`` of its deployment.
            folder: The folder; it exists.

        Returns:
            The file, under the name that it was stored with.

        Raises:
            PackageError: The registry does not have it, or it is damaged.
        """
        return self._model_db.run(lambda connection: _packages.load(connection, sha256, folder))

    def promote(self, deployment_id: int) -> Deployment:
        """Make a deployment the live one of its model, in place of the one that is.

        At every moment, for every reader, the model has one live deployment: the old or the new.

        Raises:
            DeploymentNotFoundError: There is no such deployment.
        """
        deployment = self.get_deployment(deployment_id=deployment_id)
        self._model_db.run(
            lambda connection: _deployments.make_live(connection, deployment), write=True
        )
        return self.get_deployment(deployment_id=deployment_id)

    def get_deployment(self, **criteria: object) -> Deployment:
        """Get the one deployment that matches.

        Raises:
            DeploymentNotFoundError: None matches.
            AmbiguousError: Several do; the message lists them.
        """
        return only(self._find(Deployment, criteria), criteria)

    def get_deployments(self, **criteria: object) -> list[Deployment]:
        """Get every deployment that matches, the latest first.

        Raises:
            DeploymentNotFoundError: None matches.
        """
        return sorted(self._find(Deployment, criteria), key=age, reverse=True)

    def get_latest_deployment(self, **criteria: object) -> Deployment:
        """Get the latest of the deployments that match: by version (PEP 440), then by date.

        Pre-releases count: ``2.0rc1`` is later than ``1.9``.

        Raises:
            DeploymentNotFoundError: None matches.
        """
        return max(self._find(Deployment, criteria), key=age)

    def get_live_deployment(self, **criteria: object) -> Deployment:
        """Get the live deployment, usually by ``model_id``.

        Raises:
            DeploymentNotFoundError: None that matches is live.
            AmbiguousError: Those of several models are; the message lists them.
        """
        return self.get_deployment(**{**criteria, "is_live": True})

    def get_current_deployment(self, **criteria: object) -> Deployment:
        """Get the live deployment, or where none is live the latest, by one statement.

        Args:
            criteria: Usually the ``model_id``.

        Raises:
            DeploymentNotFoundError: None matches.
            AmbiguousError: Those of several models are live; the message lists them.
        """
        found = self._select(Deployment, criteria, where=_LIVE_OR_NONE_IS)
        live = [deployment for deployment in found if deployment.is_live]
        if not found:
            raise not_found(Deployment, criteria)
        return only(live, criteria) if live else max(found, key=age)

    # Projects and flows

    def store_project(self, project_name: str, description: str = "") -> str:
        """Store a project, or find it; the description of one that exists is kept.

        Args:
            project_name: Its name; up to 50 characters.
            description: What it is; up to 255 characters.

        Returns:
            The project's name.

        Raises:
            InvalidInputError: The name begins or ends with white space.
        """
        _check_names(project_name=project_name)
        values = {"project_name": project_name, "description": description}
        self._get_or_create(PROJECT, values, "project_name")
        return project_name

    def get_project(self, **criteria: object) -> Project:
        """Get the one project that matches.

        Raises:
            ProjectNotFoundError: None matches.
            AmbiguousError: Several do; the message lists them.
        """
        return only(self._find(Project, criteria), criteria)

    def get_projects(self, **criteria: object) -> list[Project]:
        """Get every project that matches, by name.

        Raises:
            ProjectNotFoundError: None matches.
        """
        # Not by the database, which may have been made to sort as a language does.
        return sorted(self._find(Project, criteria), key=lambda project: project.project_name)

    def store_flow(
        self,
        *,
        deployment_id: int,
        flow_name: str,
        project_name: str,
        entry_point: str | None = None,
    ) -> str:
        """Store a flow of a deployment, or find it.

        Args:
            deployment_id: The deployment that it runs.
            flow_name: Its name; up to 255 characters.
            project_name: A project that is stored.
            entry_point: Where it is loaded from, ``module:name``; of a flow that is found, None
                is as good as what is stored.

        Returns:
            Its id: see ``flow_id`` of this package.

        Raises:
            DeploymentNotFoundError: There is no such deployment.
            ProjectNotFoundError: There is no such project.
            InvalidInputError: The name begins or ends with white space.
            ModelDBError: The flow is stored with another entry point.
        """
        _check_names(flow_name=flow_name)
        deployment = self.get_deployment(deployment_id=deployment_id)
        self.get_project(project_name=project_name)
        model = deployment.model
        flow_id = make_flow_id(
            author=model.author,
            laboratory=model.laboratory,
            facility=model.facility,
            beampath=model.beampath,
            description=model.description,
            version=deployment.version,
            project_name=project_name,
            flow_name=flow_name,
        )
        values = {
            "flow_id": flow_id,
            "flow_name": flow_name,
            "project_name": project_name,
            "deployment_id": deployment_id,
            "entry_point": entry_point,
        }
        known = self._get_or_create(FLOW, values, "flow_id")
        if entry_point not in (None, known["entry_point"]):
            raise ModelDBError(
                f"The flow {flow_name!r} of version {deployment.version} of model "
                f"{model.model_id} is stored with another entry_point ({known['entry_point']!r}, "
                f"now {entry_point!r}). What was stored is kept as it is: use a new version."
            )
        return flow_id

    def get_flow(self, **criteria: object) -> Flow:
        """Get the one flow that matches.

        Raises:
            FlowNotFoundError: None matches.
            AmbiguousError: Several do; the message lists them.
        """
        return only(self._find(Flow, criteria), criteria)

    def get_flows(self, **criteria: object) -> list[Flow]:
        """Get every flow that matches.

        Raises:
            FlowNotFoundError: None matches.
        """
        return self._find(Flow, criteria)

    def store_flow_of_flows(self, parent_flow_id: str, flow_ids: Sequence[str]) -> None:
        """Store what a flow is made of; nothing happens when that is stored already.

        Args:
            parent_flow_id: The flow that runs the others.
            flow_ids: The others, in the order of their places; each once.

        Raises:
            FlowNotFoundError: One of the flows is not stored.
            InvalidInputError: A flow is given twice.
            ModelDBError: The flow is stored with other parts.
        """
        for flow, count in Counter(flow_ids).items():
            if count > 1:
                raise InvalidInputError(f"flow_id={flow!r} is given twice")
        self._model_db.run(
            lambda connection: _flow_of_flows.store(connection, parent_flow_id, flow_ids),
            write=True,
        )

    def get_flow_of_flows(self, **criteria: object) -> list[Flow]:
        """Get the flows that a flow is made of, in order; ``parent_flow_id`` says of which one.

        Raises:
            FlowOfFlowsNotFoundError: None matches: the flow is not made of others.
        """
        order = (FLOW_OF_FLOWS.c.parent_flow_id, FLOW_OF_FLOWS.c.position)
        places = self._find(FlowOfFlows, criteria, *order)
        return [place.flow for place in places]

    # Schema

    def apply_schema(self) -> None:
        """Make the tables, or bring those of an earlier version to this one; data is kept.

        Raises:
            SchemaError: The tables are of a later version, or those of something else.
        """
        self._model_db.apply_schema()

    def current_revision(self) -> str | None:
        """The revision of the database's tables; None when they carry none."""
        return self._model_db.current_revision()

    def head_revision(self) -> str:
        """The revision of the tables that this version of LUME-services uses."""
        return self._model_db.head_revision()

    def check_schema(self) -> None:
        """See whether the tables are those of this version; nothing is changed.

        Raises:
            SchemaError: They are not; the message says what to run.
        """
        self._model_db.check_schema()

    def _select(
        self,
        kind: type[R],
        criteria: Mapping[str, object],
        *order: Column[Any],
        where: ColumnElement[bool] | None = None,
    ) -> list[R]:
        return self._model_db.run(asked(kind, criteria, *order, where=where).answer)

    def _find(self, kind: type[R], criteria: Mapping[str, object], *order: Column[Any]) -> list[R]:
        rows = self._select(kind, criteria, *order)
        if not rows:
            raise not_found(kind, criteria)
        return rows

    def _get_or_create(
        self, table: Table, values: dict[str, Any], *unique: str
    ) -> Mapping[str, Any]:
        """Find the row with these values, of which some or all are its identity, or store it."""
        check_text(table, values)
        identity = {name: values[name] for name in unique or values}
        search = _search(table, tuple(identity), tuple(values))

        def find_or_store(connection: Connection) -> Mapping[str, Any]:
            found = connection.execute(search, identity).all()
            for row in matching(found, identity):
                return row._asdict()
            with self._model_db.transaction(connection):
                return stored(connection, table, values)

        try:
            return self._model_db.run(find_or_store)
        except ConstraintError:
            # Another process was first, and its row is found now; or it is another constraint.
            return self._model_db.run(find_or_store)


@cache
def _search(table: Table, identity: tuple[str, ...], names: tuple[str, ...]) -> Select[Any]:
    """Asks for the key and some columns by an identity; made once, for making it is slow.

    What is not asked for costs nothing: PyMySQL reads what a column is called and is of as slowly
    as what is in it.
    """
    columns = dict.fromkeys((*table.primary_key.columns.keys(), *names))
    return select(*(table.c[name] for name in columns)).where(
        *(table.c[name] == bindparam(name) for name in identity)
    )


def _check_names(**names: str) -> None:
    for name, value in names.items():
        if isinstance(value, str) and value != value.strip():
            raise InvalidInputError(
                f"{name}={value!r} begins or ends with white space, which databases do not agree "
                "to compare; leave it out"
            )


def _as_json(variables: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """The variables as they will be read back."""
    if variables is None:
        return None
    try:
        read: dict[str, Any] = json.loads(json.dumps(dict(variables)))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"variables cannot be written as JSON ({error}); pass model_dump(mode='json') of each"
        ) from error
    return read
