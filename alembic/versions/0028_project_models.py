"""Weights of projects: who sent them, and names that are unique within the project.

Revision ID: 0028_project_models
Revises: 0026_job_rows
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0028_project_models"
down_revision = "0026_job_rows"
branch_labels = None
depends_on = None

OF_INSTANCE = sa.text("project_id IS NULL")
SOURCES = "source IN ('file', 'official', 'upload')"
SOURCES_BEFORE = "source IN ('file', 'official')"
OWNER = "fk_models_owner_id_users"


def upgrade() -> None:
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.add_column(sa.Column("owner_id", sa.String(length=40), nullable=True))
        batch_op.create_foreign_key(op.f(OWNER), "users", ["owner_id"], ["id"])
        batch_op.drop_constraint(op.f("uq_models_name"), type_="unique")
        batch_op.drop_constraint(op.f("ck_models_source"), type_="check")
        batch_op.create_check_constraint(op.f("ck_models_source"), SOURCES)
    op.create_index(
        "uq_models_name",
        "models",
        ["name"],
        unique=True,
        sqlite_where=OF_INSTANCE,
        postgresql_where=OF_INSTANCE,
    )
    op.create_index("uq_models_project_id_name", "models", ["project_id", "name"], unique=True)
    op.create_index("ix_models_name_id", "models", ["name", "id"])
    op.drop_index(op.f("ix_models_project_id"), table_name="models")


def downgrade() -> None:
    """Remove the weights of projects, which an earlier release could not tell apart by name."""
    op.execute("DELETE FROM models WHERE project_id IS NOT NULL")
    op.create_index(op.f("ix_models_project_id"), "models", ["project_id"])
    for name in ("ix_models_name_id", "uq_models_project_id_name", "uq_models_name"):
        op.drop_index(name, table_name="models")
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_models_source"), type_="check")
        batch_op.create_check_constraint(op.f("ck_models_source"), SOURCES_BEFORE)
        batch_op.create_unique_constraint(op.f("uq_models_name"), ["name"])
        batch_op.drop_constraint(op.f(OWNER), type_="foreignkey")
        batch_op.drop_column("owner_id")
