"""Run by Alembic: migrates over the connection that it was called with."""

from __future__ import annotations

from alembic import context

from lume_services.services.models.db.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
