"""The parts of a flow in the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from lume_services.errors import ModelDBError
from lume_services.services.models._criteria import not_found
from lume_services.services.models.db.schema import FLOW, FLOW_OF_FLOWS, Flow

__all__ = ["store"]


def store(connection: Connection, parent_flow_id: str, flow_ids: Sequence[str]) -> None:
    """Store what a flow is made of; nothing happens when that is stored already.

    Args:
        connection: One in a transaction that writes.
        parent_flow_id: The flow that runs the others.
        flow_ids: The others, in the order of their places; each once.

    Raises:
        FlowNotFoundError: One of the flows is not stored.
        ModelDBError: The flow is stored with other parts.
    """
    # Of two processes one stores the parts, and the other waits and finds them.
    connection.execute(
        select(FLOW.c.flow_id).where(FLOW.c.flow_id == parent_flow_id).with_for_update()
    )
    wanted = (parent_flow_id, *flow_ids)
    stored = set(connection.scalars(select(FLOW.c.flow_id).where(FLOW.c.flow_id.in_(wanted))))
    for flow in wanted:
        if flow not in stored:
            raise not_found(Flow, {"flow_id": flow})
    places = FLOW_OF_FLOWS.c
    known = connection.scalars(
        select(places.flow_id)
        .where(places.parent_flow_id == parent_flow_id)
        .order_by(places.position)
    ).all()
    if list(known) == list(flow_ids):
        return
    if known:
        raise ModelDBError(
            f"The flow {parent_flow_id!r} is stored with other parts: {', '.join(known)}. "
            "Deploy what changed under a new version."
        )
    connection.execute(
        insert(FLOW_OF_FLOWS),
        [
            {"parent_flow_id": parent_flow_id, "flow_id": flow, "position": position}
            for position, flow in enumerate(flow_ids)
        ],
    )
