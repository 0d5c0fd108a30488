"""Deployments in the database: one of each version, and one of each model live.

Every function is given a connection in a transaction that writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, update

from lume_services.errors import ModelDBError
from lume_services.services.models._criteria import asked, not_found
from lume_services.services.models._rows import stored
from lume_services.services.models.db.schema import DEPLOYMENT, Deployment, Model, check_text

__all__ = ["make_live", "store"]

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


def store(connection: Connection, new: Mapping[str, Any], version: str, *, is_live: bool) -> int:
    """Store a deployment, or find the one of this version.

    Args:
        connection: The transaction.
        new: Its columns, with the version as it is kept.
        version: The version as it is written, which releases before 1.0 kept.
        is_live: Whether to make it the live one, if it is not.

    Returns:
        Its ``deployment_id``.

    Raises:
        ModelNotFoundError: Its model is not stored.
        ModelDBError: This version is stored with other content.
    """
    model_id = new["model_id"]
    _lock(connection, model_id)
    same_version = asked(Deployment, {"model_id": model_id, "version": version})
    known = next(iter(same_version.answer(connection)), None)
    if known is None:
        check_text(DEPLOYMENT, new)
        deployment_id: int = stored(connection, DEPLOYMENT, new)["deployment_id"]
    else:
        _check_same(known, new)
        deployment_id = known.deployment_id
    if is_live and not (known and known.is_live):
        _replace_live(connection, model_id, deployment_id)
    return deployment_id


def make_live(connection: Connection, deployment: Deployment) -> None:
    """Make a deployment the live one of its model, in place of the one that is."""
    _lock(connection, deployment.model_id)
    _replace_live(connection, deployment.model_id, deployment.deployment_id)


def _lock(connection: Connection, model_id: int) -> None:
    """Let one transaction at a time change the deployments of a model."""
    criteria = {"model_id": model_id}
    question = asked(Model, criteria)
    if connection.scalar(question.statement.with_for_update(), question.values) is None:
        raise not_found(Model, criteria)


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
