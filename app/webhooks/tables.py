"""Webhooks, what is sent to them, and how far the event log was read for them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, Json, UtcDateTime
from app.core.leased_rows import LeasedRow

PENDING = text("state = 'pending'")
ENABLED = text("state = 'enabled'")


class WebhookState(StrEnum):
    """Whether events are sent to a webhook."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why a webhook is disabled.

    A member disabled it, it answered 410 Gone, or nothing but failures came back for days.
    """

    BY_MEMBER = "by_member"
    GONE = "gone"
    FAILING = "failing"


class DeliveryState(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class SendError(StrEnum):
    """Why one attempt to send a delivery failed."""

    STATUS = "status"
    TIMEOUT = "timeout"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    URL_NOT_ALLOWED = "url_not_allowed"
    HOST_NOT_FOUND = "host_not_found"
    CONNECTION_FAILED = "connection_failed"
    TLS_FAILED = "tls_failed"
    INVALID_ANSWER = "invalid_answer"
    EXPIRED = "expired"


class Webhook(Base):
    """A URL to which the events of a project are sent.

    Its secrets are stored as they are, because signing needs them.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("ix_webhooks_project_id_id", "project_id", "id"),
        Index(
            "ix_webhooks_enabled",
            "after_transaction",
            "after_position",
            sqlite_where=ENABLED,
            postgresql_where=ENABLED,
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    created_by: Mapped[str | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True, doc="id of the user"
    )
    url: Mapped[str] = mapped_column(String(2000))
    events: Mapped[list[str]] = mapped_column(Json, doc="event types, or beginnings such as job.*")
    description: Mapped[str] = mapped_column(String(200))
    secret: Mapped[str] = mapped_column(String(100), doc="whsec_ and 32 bytes in base64")
    previous_secret: Mapped[str | None] = mapped_column(
        String(100), doc="the rotated secret, which signs too until `previous_secret_ends_at`"
    )
    previous_secret_ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    state: Mapped[WebhookState] = mapped_column(checked_enum(WebhookState, "state"))
    disabled_reason: Mapped[DisabledReason | None] = mapped_column(
        checked_enum(DisabledReason, "disabled_reason")
    )
    failing_since: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="first failed attempt after the last success; null: none failed"
    )
    after_transaction: Mapped[int] = mapped_column(
        BigInteger, doc="with `after_position`: events of the log up to here are not sent"
    )
    after_position: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(doc="increases with each change; compared with If-Match")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WebhookDelivery(LeasedRow, Base):
    """One event for one webhook; a server that sends it holds its lease."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "log_transaction", "log_position"),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_webhook_id_state_id", "webhook_id", "state", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "next_attempt_at",
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        ),
        Index(
            "ix_webhook_deliveries_give_up",
            "give_up_at",
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        ),
        Index("ix_webhook_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(
        String(40), primary_key=True, doc="sent as webhook-id, the same in every attempt"
    )
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    log_transaction: Mapped[int | None] = mapped_column(
        BigInteger, doc="with `log_position`: place of the event in the log; null: a test"
    )
    log_position: Mapped[int | None] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(80))
    body: Mapped[str] = mapped_column(Text, doc="the JSON that is signed and sent")
    state: Mapped[DeliveryState] = mapped_column(checked_enum(DeliveryState, "state"))
    attempt: Mapped[int] = mapped_column(doc="number of attempts that began; it never decreases")
    uncounted_attempts: Mapped[int] = mapped_column(
        server_default="0",
        doc="number of attempts that were interrupted, or made before someone sent it again",
    )
    crashes: Mapped[int] = mapped_column(doc="number of attempts whose server died")
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    give_up_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="no attempt follows after this")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="end of the last one")
    last_status: Mapped[int | None] = mapped_column(doc="HTTP status; null: no answer")
    last_error: Mapped[SendError | None] = mapped_column(checked_enum(SendError, "last_error"))
    last_duration_ms: Mapped[int | None]
    last_answer: Mapped[str | None] = mapped_column(
        Text, doc="beginning of the body, at most 1 KiB"
    )

    @property
    def attempts(self) -> int:
        """The number of attempts that count: the next delay follows from it."""
        return self.attempt - self.uncounted_attempts


class WebhookCursor(Base):
    """How far the event log was read for all webhooks; a single row, which its reader locks."""

    __tablename__ = "webhook_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[str] = mapped_column(String(40), doc="of the log; empty: not yet read")
    log_transaction: Mapped[int] = mapped_column(BigInteger)
    log_position: Mapped[int] = mapped_column(BigInteger)
