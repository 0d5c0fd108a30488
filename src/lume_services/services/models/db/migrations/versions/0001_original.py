"""The tables of LUME-services 0.x."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "model",
        sa.Column("model_id", sa.Integer, primary_key=True),
        sa.Column("created", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("author", sa.String(50), nullable=False),
        sa.Column("laboratory", sa.String(50), nullable=False),
        sa.Column("facility", sa.String(50), nullable=False),
        sa.Column("beampath", sa.String(50), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.UniqueConstraint(
            "author", "laboratory", "facility", "beampath", "description", name="_model_entry"
        ),
    )
    op.create_table(
        "project",
        sa.Column("project_name", sa.String(50), primary_key=True),
        sa.Column("description", sa.String(255), nullable=False),
    )
    op.create_table(
        "deployment",
        sa.Column("deployment_id", sa.Integer, primary_key=True),
        sa.Column("version", sa.String(10), nullable=False),
        sa.Column("deploy_date", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("package_import_name", sa.String(50), nullable=False),
        sa.Column("asset_dir", sa.String(255)),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("image", sa.String(100)),
        sa.Column("is_live", sa.Boolean, nullable=False),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("model.model_id"), nullable=False),
        sa.UniqueConstraint("model_id", "version", name="_deployment_unique"),
    )
    op.create_table(
        "flow",
        sa.Column("flow_id", sa.String(255), primary_key=True),
        sa.Column("flow_name", sa.String(50), nullable=False),
        sa.Column(
            "project_name", sa.String(50), sa.ForeignKey("project.project_name"), nullable=False
        ),
        sa.Column(
            "deployment_id", sa.Integer, sa.ForeignKey("deployment.deployment_id"), nullable=False
        ),
    )
    op.create_table(
        "flow_of_flows",
        sa.Column("_id", sa.Integer, primary_key=True),
        sa.Column("parent_flow_id", sa.String(255), sa.ForeignKey("flow.flow_id"), nullable=False),
        sa.Column("flow_id", sa.String(255), sa.ForeignKey("flow.flow_id"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.UniqueConstraint("parent_flow_id", "flow_id", name="_flow_of_flow_entry"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("flow_of_flows", "flow", "deployment", "project", "model"):
        op.drop_table(table)
