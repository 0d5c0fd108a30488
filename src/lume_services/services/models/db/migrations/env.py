"""Run by Alembic: migrates over the connection that it was called with."""

from __future__ import annotations

from alembic import context

from lume_services.services.models.db.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
