"""Deployments in the database: one of each version, and one of each model live.

Every function runs inside a transaction of the caller's.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lume_services.errors import ModelDBError
from lume_services.services.models._criteria import asked, not_found, written
from lume_services.services.models.db.schema import Deployment, Model

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


def store(session: Session, new: Deployment, version: str) -> Deployment:
    """Store a deployment, or find the one of this version.

    Args:
        session: The transaction.
        new: The deployment, with its version as it is kept.
        version: The version as it is written, which releases before 1.0 kept.

    Raises:
        ModelNotFoundError: Its model is not stored.
        ModelDBError: This version is stored with other content.
    """
    _lock(session, new.model_id)
    known = session.scalar(
        select(Deployment).where(
            Deployment.model_id == new.model_id, Deployment.version.in_(written(version))
        )
    )
    if known is None:
        session.add(new)
        session.flush()
        return new
    _check_same(known, new)
    return known


def make_live(session: Session, deployment: Deployment) -> None:
    """Make a deployment the live one of its model, in place of the one that is."""
    _lock(session, deployment.model_id)
    # The old one first: the two may not be live at once, not even inside the transaction.
    for where, live in (
        ((Deployment.model_id == deployment.model_id) & Deployment.is_live, False),
        (Deployment.deployment_id == deployment.deployment_id, True),
    ):
        session.execute(
            update(Deployment)
            .where(where)
            .values(is_live=live)
            .execution_options(synchronize_session=False)
        )


def _lock(session: Session, model_id: int) -> None:
    """Let one transaction at a time change the deployments of a model."""
    criteria = {"model_id": model_id}
    model, values = asked(Model, criteria)
    if session.scalar(model.with_for_update(), values) is None:
        raise not_found(Model, criteria)


def _check_same(known: Deployment, new: Deployment) -> None:
    same_code = known.sha256 is not None and known.sha256 == new.sha256
    for name in _CONTENT:
        old_value, new_value = getattr(known, name), getattr(new, name)
        if old_value == new_value or (name == "source" and same_code):
            continue
        what = "" if name == "variables" else f" ({old_value!r}, now {new_value!r})"
        raise ModelDBError(
            f"Version {known.version} of model {known.model_id} is stored with another {name}"
            f"{what}. What was stored is kept as it is: use a new version."
        )
