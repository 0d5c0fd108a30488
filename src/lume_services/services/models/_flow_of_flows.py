"""The parts of a flow in the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from lume_services.errors import ModelDBError
from lume_services.services.models._criteria import not_found
from lume_services.services.models.db.schema import Flow, FlowOfFlows

__all__ = ["store"]


def store(session: Session, parent_flow_id: str, flow_ids: Sequence[str]) -> None:
    """Store what a flow is made of; nothing happens when that is stored already.

    Args:
        session: A transaction.
        parent_flow_id: The flow that runs the others.
        flow_ids: The others, in the order of their places; each once.

    Raises:
        FlowNotFoundError: One of the flows is not stored.
        ModelDBError: The flow is stored with other parts.
    """
    # Of two processes one stores the parts, and the other waits and finds them.
    session.execute(select(Flow.flow_id).where(Flow.flow_id == parent_flow_id).with_for_update())
    wanted = (parent_flow_id, *flow_ids)
    stored = set(session.scalars(select(Flow.flow_id).where(Flow.flow_id.in_(wanted))))
    for flow in wanted:
        if flow not in stored:
            raise not_found(Flow, {"flow_id": flow})
    places = FlowOfFlows.parent_flow_id == parent_flow_id
    known = session.scalars(
        select(FlowOfFlows.flow_id).where(places).order_by(FlowOfFlows.position)
    ).all()
    if not known:
        session.add_all(
            FlowOfFlows(parent_flow_id=parent_flow_id, flow_id=flow, position=position)
            for position, flow in enumerate(flow_ids)
        )
    elif list(known) != list(flow_ids):
        raise ModelDBError(
            f"The flow {parent_flow_id!r} is stored with other parts: {', '.join(known)}. "
            "Deploy what changed under a new version."
        )
