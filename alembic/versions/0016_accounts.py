"""Accounts: roles, keys of a project, disabled users, set-up links, and the audit log.

The role `owner` is called `admin` now. Keys keep the hash they have.

Revision ID: 0016_accounts
Revises: 0015_stored_findings
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016_accounts"
down_revision = "0015_stored_findings"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("disabled_at", TIME, nullable=True))
        batch_op.add_column(
            sa.Column("theme", sa.String(length=40), server_default="auto", nullable=False)
        )
        batch_op.add_column(
            sa.Column(
                "single_key_shortcuts", sa.Boolean(), server_default=sa.true(), nullable=False
            )
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_users_theme"), "theme IN ('auto', 'light', 'dark')"
        )
    op.add_column("projects", sa.Column("archived_at", TIME, nullable=True))
    _rename_roles("owner", "admin")
    _widen_keys()
    op.add_column("sessions", sa.Column("address", sa.String(length=60), nullable=True))
    op.add_column("sessions", sa.Column("user_agent", sa.String(length=200), nullable=True))
    op.create_table(
        "setup_links",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_setup_links")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_setup_links_token_sha256")),
    )
    _create_audit_log()


def downgrade() -> None:
    op.drop_table("audit_chain")
    op.drop_table("audit_log")
    op.drop_table("setup_links")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_column("user_agent")
        batch_op.drop_column("address")
    _revoke_keys_of_disabled_users()
    # A release before this one could not check them.
    op.execute(sa.text("DELETE FROM api_keys WHERE secret_sha256 IS NULL"))
    op.drop_index(op.f("ix_api_keys_project_id"), table_name="api_keys")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_api_keys_one_hash"), type_="check")
        batch_op.drop_constraint(batch_op.f("fk_api_keys_project_id_projects"), type_="foreignkey")
        batch_op.alter_column("secret_sha256", nullable=False)
        batch_op.drop_column("replaces_id")
        batch_op.drop_column("project_id")
        batch_op.drop_column("key_sha256")
    _rename_roles("admin", "owner")
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.drop_column("archived_at")
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_users_theme"), type_="check")
        batch_op.drop_column("single_key_shortcuts")
        batch_op.drop_column("theme")
        batch_op.drop_column("disabled_at")


def _revoke_keys_of_disabled_users() -> None:
    """Refuse them for good: a release before this one knows no disabled users."""
    users = sa.table("users", sa.column("id", sa.String), sa.column("disabled_at", TIME))
    keys = sa.table("api_keys", sa.column("user_id", sa.String), sa.column("revoked_at", TIME))
    disabled = sa.select(users.c.disabled_at).where(users.c.id == keys.c.user_id).scalar_subquery()
    op.execute(
        keys.update()
        .where(keys.c.revoked_at.is_(None), disabled.is_not(None))
        .values(revoked_at=disabled)
    )


def _rename_roles(before: str, after: str) -> None:
    name = op.f("ck_memberships_role")
    with op.batch_alter_table("memberships", schema=None) as batch_op:
        batch_op.drop_constraint(name, type_="check")
    memberships = sa.table("memberships", sa.column("role", sa.String))
    op.execute(memberships.update().where(memberships.c.role == before).values(role=after))
    roles = ("viewer", "member", "admin") if after == "admin" else ("owner", "member", "viewer")
    listed = ", ".join(f"'{role}'" for role in roles)
    with op.batch_alter_table("memberships", schema=None) as batch_op:
        batch_op.create_check_constraint(name, f"role IN ({listed})")


def _widen_keys() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("key_sha256", sa.LargeBinary(length=32), nullable=True))
        batch_op.add_column(sa.Column("project_id", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("replaces_id", sa.String(length=40), nullable=True))
        batch_op.alter_column(
            "secret_sha256", existing_type=sa.LargeBinary(length=32), nullable=True
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_api_keys_project_id_projects"),
            "projects",
            ["project_id"],
            ["id"],
            ondelete="CASCADE",
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_api_keys_one_hash"), "(secret_sha256 IS NULL) != (key_sha256 IS NULL)"
        )
    op.create_index(op.f("ix_api_keys_project_id"), "api_keys", ["project_id"])


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("happened_at", TIME, nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=True),
        sa.Column("user_id", sa.String(length=40), nullable=True),
        sa.Column("user_name", sa.String(length=200), nullable=True),
        sa.Column("credential", sa.String(length=60), nullable=False),
        sa.Column("address", sa.String(length=60), nullable=True),
        sa.Column("request_id", sa.String(length=40), nullable=True),
        sa.Column("details", JSON, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_log_position")),
    )
    op.create_index("ix_audit_log_project_id_id", "audit_log", ["project_id", "id"])
    op.create_index(
        "ix_audit_log_unsealed",
        "audit_log",
        ["id"],
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    chain = op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("removed_position", sa.BigInteger(), nullable=False),
        sa.Column("removed_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("last_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_chain")),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_chain_single")),
    )
    zeros = bytes(32)
    op.bulk_insert(
        chain,
        [
            {
                "id": 1,
                "removed_position": 0,
                "removed_sha256": zeros,
                "last_position": 0,
                "last_sha256": zeros,
            }
        ],
    )
