"""The archives of packaged models, in parts, and the environments that deployments run in.

Every step looks at what is there: see revision 0002.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT, MEDIUMBLOB

revision = "0003"
down_revision = "0002"

LONG_TEXT = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_bin",
    }.items()
}


def upgrade() -> None:
    """Add two tables and a column; every row is kept."""
    there = sa.inspect(op.get_bind())
    if "environment" not in {column["name"] for column in there.get_columns("deployment")}:
        op.add_column("deployment", sa.Column("environment", LONG_TEXT))
    if not there.has_table("package"):
        op.create_table(
            "package",
            sa.Column("sha256", sa.String(64), primary_key=True),
            sa.Column("filename", sa.String(255), nullable=False),
            **OPTIONS,
        )
    if not there.has_table("package_part"):
        op.create_table(
            "package_part",
            sa.Column("sha256", sa.String(64), sa.ForeignKey("package.sha256"), primary_key=True),
            sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("data", BYTES, nullable=False),
            **OPTIONS,
        )


def downgrade() -> None:
    """Drop what was added, the archives too."""
    op.drop_table("package_part")
    op.drop_table("package")
    op.drop_column("deployment", "environment")
