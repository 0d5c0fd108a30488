"""One live deployment per model, what a deployment's variables are, how it and its flows load.

Also: wider columns, deployments that are no package, and on MySQL and MariaDB names that differ
in capital letters only. Early databases of 0.x lack two of the constraints of revision 0001, and
have one that is no longer meant; that is put right here too.

MySQL and MariaDB keep what was changed when an upgrade is ended in the middle, so every step looks
at what is there, or may be done twice.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations
from sqlalchemy.dialects.mysql import LONGTEXT

from lume_services.errors import SchemaError

revision = "0002"
down_revision = "0001"

IDENTITY = ("author", "laboratory", "facility", "beampath")
TABLES = ("model", "project", "deployment", "flow", "flow_of_flows")
TEXT_KEYS = (
    ("flow", "project_name", "project", "project_name"),
    ("flow_of_flows", "parent_flow_id", "flow", "flow_id"),
    ("flow_of_flows", "flow_id", "flow", "flow_id"),
)
LONG_TEXT = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")

model = sa.table("model", sa.column("created"))
deployment = sa.table(
    "deployment",
    *map(sa.column, ("deployment_id", "model_id", "deploy_date", "is_live")),
    *map(sa.column, ("package_import_name", "source", "sha256")),
)


def upgrade() -> None:
    """Add the columns and constraints; every row is kept."""
    connection = op.get_bind()
    models = _unique_constraints(connection, "model")
    deployments = _unique_constraints(connection, "deployment")
    model_is_unique = {*IDENTITY, "description"} in models.values()
    version_is_unique = {"model_id", "version"} in deployments.values()
    # Before anything is changed: MySQL and MariaDB cannot undo it.
    if not model_is_unique:
        _refuse_duplicates(connection, "model", *IDENTITY, "description")
    if not version_is_unique:
        _refuse_duplicates(connection, "deployment", "model_id", "version")

    if connection.dialect.name in ("mysql", "mariadb"):
        _tell_capitals_apart(connection)
    _keep_one_live(connection)
    _fill(connection, model, "created", sa.func.now())
    _fill(connection, deployment, "deploy_date", sa.func.now())

    with op.batch_alter_table("model") as table:
        _alter_date(table, "created", nullable=False)
        if not model_is_unique:
            for name in IDENTITY:
                _alter_text(table, name, 255, 50, nullable=False)
            table.create_unique_constraint("_model_entry", [*IDENTITY, "description"])

    with op.batch_alter_table("deployment") as table:
        if not version_is_unique:
            table.create_unique_constraint("_deployment_unique", ["model_id", "version"])
        if "_sha256_unique" in deployments:
            table.drop_constraint("_sha256_unique", type_="unique")
        _alter_date(table, "deploy_date", nullable=False)
        _alter_text(table, "version", 10, 64, nullable=False)
        _alter_text(table, "package_import_name", 50, 255)
        _alter_text(table, "source", 255, 1024)
        _alter_text(table, "sha256", 64, 64)
        _alter_text(table, "image", 100, 255)
        for column in _missing(
            connection,
            "deployment",
            sa.Column("kind", sa.String(50), nullable=False, server_default="package"),
            sa.Column("entry_point", sa.String(255)),
            sa.Column("variables", LONG_TEXT),
            sa.Column(
                "live_model_id",
                sa.Integer,
                sa.Computed("CASE WHEN is_live THEN model_id END", persisted=True),
            ),
        ):
            table.add_column(column)
        if "_one_live_deployment" not in deployments:
            table.create_unique_constraint("_one_live_deployment", ["live_model_id"])

    with op.batch_alter_table("flow") as table:
        _alter_text(table, "flow_name", 50, 255, nullable=False)
        for column in _missing(connection, "flow", sa.Column("entry_point", sa.String(255))):
            table.add_column(column)


def downgrade() -> None:
    """Drop what was added; a database refuses it where longer text has been stored since."""
    connection = op.get_bind()
    with op.batch_alter_table("flow") as table:
        table.drop_column("entry_point")
        _alter_text(table, "flow_name", 255, 50, nullable=False)

    for name in ("package_import_name", "source", "sha256"):
        _fill(connection, deployment, name, sa.literal(""))
    with op.batch_alter_table("deployment") as table:
        table.drop_constraint("_one_live_deployment", type_="unique")
        for name in ("live_model_id", "variables", "entry_point", "kind"):
            table.drop_column(name)
        _alter_text(table, "image", 255, 100)
        _alter_text(table, "sha256", 64, 64, nullable=False)
        _alter_text(table, "source", 1024, 255, nullable=False)
        _alter_text(table, "package_import_name", 255, 50, nullable=False)
        _alter_text(table, "version", 64, 10, nullable=False)
        _alter_date(table, "deploy_date", nullable=True)

    with op.batch_alter_table("model") as table:
        _alter_date(table, "created", nullable=True)


def _alter_text(
    table: BatchOperations, name: str, old: int, new: int, *, nullable: bool = True
) -> None:
    table.alter_column(name, existing_type=sa.String(old), type_=sa.String(new), nullable=nullable)


def _alter_date(table: BatchOperations, name: str, *, nullable: bool) -> None:
    table.alter_column(
        name,
        existing_type=sa.DateTime(timezone=True),
        existing_server_default=sa.func.now(),
        nullable=nullable,
    )


def _fill(
    connection: sa.Connection,
    table: sa.TableClause,
    name: str,
    value: sa.ColumnElement[Any],
) -> None:
    connection.execute(sa.update(table).where(table.c[name].is_(None)).values({name: value}))


def _missing(
    connection: sa.Connection, table: str, *columns: sa.Column[Any]
) -> list[sa.Column[Any]]:
    there = {column["name"] for column in sa.inspect(connection).get_columns(table)}
    return [column for column in columns if column.name not in there]


def _tell_capitals_apart(connection: sa.Connection) -> None:
    # A column cannot change its collation while a foreign key uses it.
    for table, *_ in TEXT_KEYS:
        for key in sa.inspect(connection).get_foreign_keys(table):
            if key["referred_table"] in ("project", "flow"):
                op.drop_constraint(str(key["name"]), table, type_="foreignkey")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    for table, column, referred_table, referred_column in TEXT_KEYS:
        op.create_foreign_key(None, table, referred_table, [column], [referred_column])


def _keep_one_live(connection: sa.Connection) -> None:
    """Where several deployments of a model are marked live, keep the one stored last."""
    last = connection.scalars(
        sa.select(sa.func.max(deployment.c.deployment_id))
        .where(deployment.c.is_live)
        .group_by(deployment.c.model_id)
    ).all()
    connection.execute(
        sa.update(deployment)
        .where(deployment.c.is_live, deployment.c.deployment_id.not_in(last))
        .values(is_live=False)
    )


def _unique_constraints(connection: sa.Connection, table: str) -> dict[str | None, set[str]]:
    found = sa.inspect(connection).get_unique_constraints(table)
    return {constraint["name"]: set(constraint["column_names"]) for constraint in found}


def _refuse_duplicates(connection: sa.Connection, table: str, *names: str) -> None:
    columns: list[sa.ColumnElement[Any]] = [sa.column(name) for name in names]
    twice = connection.execute(
        sa.select(*columns)
        .select_from(sa.table(table))
        .group_by(*columns)
        .having(sa.func.count() > 1)
    ).all()
    if twice:
        rows = "; ".join(repr(tuple(row)) for row in twice[:5])
        raise SchemaError(
            f"The table {table} holds the same {', '.join(names)} more than once: {rows}. Delete "
            "or rename the others, then run: lume-services db upgrade"
        )
