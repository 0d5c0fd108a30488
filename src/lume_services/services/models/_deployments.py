"""Deployments in the database: one of each version, and one of each model live.

Every function is given a connection in a transaction that writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, update

from lume_services.errors import ModelDBError
from lume_services.services.models._criteria import asked, not_found
from lume_services.services.models._rows import stored
from lume_services.services.models.db.schema import (
    DEPLOYMENT,
    FLOW,
    Deployment,
    Flow,
    Model,
    check_text,
)
from lume_services.services.models.identity import flow_id

__all__ = ["NewFlows", "make_live", "store"]

# What two deployments of one version must have in common to be the same.
_CONTENT = (
    "source",
    "sha256",
    "image",
    "asset_dir",
    "package_import_name",
    "kind",
    "entry_point",
    "variables",
)


@dataclass(frozen=True)
class NewFlows:
    """The flows that a deployment is stored with."""

    project_name: str = "local"
    entry_points: Mapping[str, str | None] = field(default_factory=dict)
    """Of each flow, by its name."""


def store(
    connection: Connection,
    new: Mapping[str, Any],
    version: str,
    flows: NewFlows,
    *,
    is_live: bool,
) -> int:
    """Store a deployment and its flows, or find the one of this version.

    Args:
        connection: The transaction.
        new: Its columns, with the version as it is kept.
        version: The version as it is written, which releases before 1.0 kept.
        flows: Its flows, in a project that is stored.
        is_live: Whether to make it the live one, if it is not.

    Returns:
        Its ``deployment_id``.

    Raises:
        ModelNotFoundError: Its model is not stored.
        ModelDBError: This version is stored with other content, or other flows.
    """
    model_id = new["model_id"]
    model = _lock(connection, model_id)
    same_version = asked(Deployment, {"model_id": model_id, "version": version})
    known = next(iter(same_version.answer(connection)), None)
    if known is None:
        check_text(DEPLOYMENT, new)
        deployment_id: int = stored(connection, DEPLOYMENT, new)["deployment_id"]
    else:
        _check_same(known, new)
        deployment_id = known.deployment_id
    if flows.entry_points:
        _store_flows(connection, model, deployment_id, new["version"], flows)
    if is_live and not (known and known.is_live):
        _replace_live(connection, model_id, deployment_id)
    return deployment_id


def make_live(connection: Connection, deployment: Deployment) -> None:
    """Make a deployment the live one of its model, in place of the one that is."""
    _lock(connection, deployment.model_id)
    _replace_live(connection, deployment.model_id, deployment.deployment_id)


def _lock(connection: Connection, model_id: int) -> Model:
    """Let one transaction at a time change the deployments of a model."""
    criteria = {"model_id": model_id}
    question = asked(Model, criteria)
    if connection.scalar(question.statement.with_for_update(), question.values) is None:
        raise not_found(Model, criteria)
    return question.answer(connection)[0]


def _store_flows(
    connection: Connection, model: Model, deployment_id: int, version: str, flows: NewFlows
) -> None:
    known = asked(Flow, {"deployment_id": deployment_id}).answer(connection)
    wanted = {
        (name, flows.project_name): entry_point for name, entry_point in flows.entry_points.items()
    }
    if known:
        there = {(flow.flow_name, flow.project_name): flow.entry_point for flow in known}
        if sorted(name for name, _ in there) == sorted(name for name, _ in wanted):
            # The most likely, and put right without a new version.
            (project_name,) = {project for _, project in there}
            if project_name != flows.project_name:
                raise ModelDBError(
                    f"Version {version} of model {model.model_id} is stored in the project "
                    f"{project_name!r}, not in {flows.project_name!r}: give that project."
                )
        if there != wanted:
            raise ModelDBError(
                f"Version {version} of model {model.model_id} is stored with the flows "
                f"{_listed(there)}, not {_listed(wanted)}. What was stored is kept as it is: use "
                "a new version."
            )
        return
    for (name, project_name), entry_point in wanted.items():
        row = {
            "flow_id": flow_id(
                author=model.author,
                laboratory=model.laboratory,
                facility=model.facility,
                beampath=model.beampath,
                description=model.description,
                version=version,
                project_name=project_name,
                flow_name=name,
            ),
            "flow_name": name,
            "project_name": project_name,
            "deployment_id": deployment_id,
            "entry_point": entry_point,
        }
        check_text(FLOW, row)
        stored(connection, FLOW, row)


def _listed(flows: Mapping[tuple[str, str], str | None]) -> str:
    return ", ".join(
        f"{name!r} of project {project!r}" + (f" ({entry_point})" if entry_point else "")
        for (name, project), entry_point in sorted(flows.items())
    )


def _replace_live(connection: Connection, model_id: int, deployment_id: int) -> None:
    # The old one first: the two may not be live at once, not even inside the transaction.
    columns = DEPLOYMENT.c
    for where, live in (
        ((columns.model_id == model_id) & columns.is_live, False),
        (columns.deployment_id == deployment_id, True),
    ):
        connection.execute(update(DEPLOYMENT).where(where).values(is_live=live))


def _check_same(known: Deployment, new: Mapping[str, Any]) -> None:
    same_code = known.sha256 is not None and known.sha256 == new["sha256"]
    for name in _CONTENT:
        old_value, new_value = getattr(known, name), new[name]
        if old_value == new_value or (name == "source" and same_code):
            continue
        what = "" if name == "variables" else f" ({old_value!r}, now {new_value!r})"
        raise ModelDBError(
            f"Version {known.version} of model {known.model_id} is stored with another {name}"
            f"{what}. What was stored is kept as it is: use a new version."
        )
