"""Webhooks, their deliveries, and how far the event log was read for them.

Revision ID: 0022_webhooks
Revises: 0021_job_lists
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022_webhooks"
down_revision = "0021_job_lists"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
PENDING = sa.text("state = 'pending'")
ENABLED = sa.text("state = 'enabled'")


def upgrade() -> None:
    _create_webhooks()
    _create_deliveries()
    cursor = op.create_table(
        "webhook_cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.String(length=40), nullable=False),
        sa.Column("log_transaction", sa.BigInteger(), nullable=False),
        sa.Column("log_position", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_webhook_cursor_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_cursor")),
    )
    start = {"id": 1, "generation": "", "log_transaction": 0, "log_position": 0}
    op.bulk_insert(cursor, [start])


def downgrade() -> None:
    op.drop_table("webhook_cursor")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("created_by", sa.String(length=40), nullable=True),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("events", JSON, nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("previous_secret", sa.String(length=100), nullable=True),
        sa.Column("previous_secret_ends_at", TIME, nullable=True),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("disabled_reason", sa.String(length=40), nullable=True),
        sa.Column("failing_since", TIME, nullable=True),
        sa.Column("after_transaction", sa.BigInteger(), nullable=False),
        sa.Column("after_position", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("state IN ('enabled', 'disabled')", name=op.f("ck_webhooks_state")),
        sa.CheckConstraint(
            "disabled_reason IN ('by_member', 'gone', 'failing')",
            name=op.f("ck_webhooks_disabled_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_webhooks_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["users.id"],
            name=op.f("fk_webhooks_created_by_users"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_project_id_id", "webhooks", ["project_id", "id"])
    op.create_index(op.f("ix_webhooks_created_by"), "webhooks", ["created_by"])
    op.create_index(
        "ix_webhooks_enabled",
        "webhooks",
        ["after_transaction", "after_position"],
        sqlite_where=ENABLED,
        postgresql_where=ENABLED,
    )


def _create_deliveries() -> None:
    states = ("pending", "delivered", "failed")
    errors = (
        *("status", "timeout", "address_not_allowed", "url_not_allowed", "host_not_found"),
        *("connection_failed", "tls_failed", "invalid_answer", "expired"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("webhook_id", sa.String(length=40), nullable=False),
        sa.Column("log_transaction", sa.BigInteger(), nullable=True),
        sa.Column("log_position", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", TIME, nullable=True),
        sa.Column("next_attempt_at", TIME, nullable=False),
        sa.Column("give_up_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_attempt_at", TIME, nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=40), nullable=True),
        sa.Column("last_duration_ms", sa.Integer(), nullable=True),
        sa.Column("last_answer", sa.Text(), nullable=True),
        sa.CheckConstraint(
            f"state IN ({', '.join(map(repr, states))})", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.CheckConstraint(
            f"last_error IN ({', '.join(map(repr, errors))})",
            name=op.f("ck_webhook_deliveries_last_error"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name=op.f("fk_webhook_deliveries_webhook_id_webhooks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint(
            *("webhook_id", "log_transaction", "log_position"),
            name=op.f("uq_webhook_deliveries_webhook_id_log_transaction_log_position"),
        ),
    )
    _create_index_of_deliveries("webhook_id_id", "webhook_id", "id")
    _create_index_of_deliveries("webhook_id_state_id", "webhook_id", "state", "id")
    _create_index_of_deliveries("created_at", "created_at")
    _create_index_of_deliveries("due", "webhook_id", "next_attempt_at", where=PENDING)
    _create_index_of_deliveries("give_up", "give_up_at", where=PENDING)


def _create_index_of_deliveries(
    name: str, *columns: str, where: sa.TextClause | None = None
) -> None:
    op.create_index(
        f"ix_webhook_deliveries_{name}",
        "webhook_deliveries",
        list(columns),
        sqlite_where=where,
        postgresql_where=where,
    )
