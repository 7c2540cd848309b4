"""Deliveries that are due: which, who sends them, what follows, and when they are removed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from app.audit.record import Actor, record_change
from app.core.database import database_now
from app.core.ids import new_id
from app.core.leased_rows import LeasedRows, RowHold
from app.webhooks.schedule import GIVE_UP_AFTER, AttemptFacts, AttemptVerdict, verdict_of
from app.webhooks.tables import (
    DeliveryState,
    DisabledReason,
    SendError,
    Webhook,
    WebhookDelivery,
    WebhookState,
)

LEASE: Final = timedelta(seconds=60)
"""Longer than any attempt: only the deliveries of a dead server are claimed again."""

LATENESS: Final = timedelta(hours=1)
"""How long after its last moment a delivery that no server could send counts as failed."""

AT_ONCE: Final = 500
SENDER: Final = Actor(credential="webhook-sender")
"""Disables webhooks, in the audit log."""

DELIVERIES: Final = LeasedRows(
    WebhookDelivery,
    work="delivery",
    id_field="delivery_id",
    waiting=and_(
        WebhookDelivery.state == DeliveryState.PENDING,
        WebhookDelivery.next_attempt_at <= database_now(),
    ),
)


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this process sends, and what it needs for that.

    Attributes:
        hold: guards the writes of its result.
        webhook_id: of its webhook.
        attempts: the number of attempts that count, with this one.
        url: to which it is sent.
        keys: sign it.
        body: the JSON to send.
    """

    hold: RowHold
    webhook_id: str
    attempts: int
    url: str = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)
    body: str = field(repr=False)

    @property
    def id(self) -> str:
        """The id of the delivery."""
        return self.hold.row_id


@dataclass(frozen=True)
class Sent:
    """The result of an attempt; `error` is None if the receiver accepted the message."""

    status: int | None
    error: SendError | None
    duration_ms: int
    answer: str | None = None


def new_delivery(
    webhook_id: str, type_: str, body: str, *, at: tuple[int, int] | None = None
) -> dict[str, object]:
    """Return the columns of a delivery that is due now.

    Args:
        webhook_id: of the webhook.
        type_: of the event.
        body: the JSON to send.
        at: transaction and position of the event in the log; None for a test.
    """
    transaction, position = at or (None, None)
    return {
        "id": new_id("msg"),
        "webhook_id": webhook_id,
        "log_transaction": transaction,
        "log_position": position,
        "type": type_,
        "body": body,
        "state": DeliveryState.PENDING,
        "attempt": 0,
        "uncounted_attempts": 0,
        "crashes": 0,
    }


def insert_deliveries(session: Session, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert deliveries, see `new_delivery`; they are due now."""
    statement = insert(WebhookDelivery).values(
        next_attempt_at=database_now(),
        give_up_at=database_now(GIVE_UP_AFTER),
        created_at=database_now(),
    )
    session.execute(statement, rows)


def due_webhooks(
    session: Session, *, after: str, excluding: Collection[str], failing: bool, limit: int
) -> Sequence[tuple[str, bool]]:
    """Return up to `limit` enabled webhooks with a due delivery, and whether they are failing.

    Args:
        session: to read with.
        after: they come in turn: first those behind this id, then those from the first id on.
        excluding: ids of webhooks that are left out.
        failing: whether to include webhooks whose last attempt failed.
        limit: the largest number of webhooks.
    """
    due = select(WebhookDelivery.id).where(
        WebhookDelivery.webhook_id == Webhook.id, *DELIVERIES.claimable()
    )
    statement = (
        select(Webhook.id, Webhook.failing_since.is_not(None))
        .where(Webhook.state == WebhookState.ENABLED, Webhook.id.not_in(excluding), due.exists())
        .order_by(Webhook.id <= after, Webhook.id)
        .limit(limit)
    )
    if not failing:
        statement = statement.where(Webhook.failing_since.is_(None))
    return [(found[0], found[1]) for found in session.execute(statement)]


def claim_delivery(session: Session, webhook_id: str) -> ClaimedDelivery | None:
    """Claim the delivery of an enabled webhook that has been due longest; None: none is due."""
    candidates = (
        select(WebhookDelivery.id)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(Webhook.id == webhook_id, Webhook.state == WebhookState.ENABLED)
        .order_by(WebhookDelivery.next_attempt_at)
    )
    row = DELIVERIES.claim_first(session, candidates, lease=LEASE)
    if row is None:
        return None
    is_overlapping = Webhook.previous_secret_ends_at > database_now()
    of_hook = select(Webhook, is_overlapping).where(Webhook.id == webhook_id)
    hook, overlaps = session.execute(of_hook).one()
    previous = (hook.previous_secret,) if overlaps and hook.previous_secret else ()
    return ClaimedDelivery(
        RowHold.of(row),
        webhook_id,
        row.attempts,
        hook.url,
        (hook.secret, *previous),
        row.body,
    )


def conclude(
    session: Session, claimed: ClaimedDelivery, sent: Sent, *, delay: timedelta
) -> AttemptVerdict | None:
    """Record the result of an attempt, and what follows from it.

    Args:
        session: a transaction without earlier writes.
        claimed: the delivery.
        sent: the result.
        delay: until the next attempt, if one follows.

    Returns:
        What follows; None if the delivery was removed, or was claimed again meanwhile.
    """
    statement = (
        select(Webhook, WebhookDelivery.give_up_at, database_now())
        .join(WebhookDelivery, WebhookDelivery.webhook_id == Webhook.id)
        .where(WebhookDelivery.id == claimed.id)
        .with_for_update(of=Webhook)  # webhook before delivery, as everywhere
    )
    found = session.execute(statement).one_or_none()
    if found is None:
        return None
    hook, give_up_at, now = found
    facts = AttemptFacts(now, give_up_at, hook.failing_since)
    verdict = verdict_of(facts, succeeded=sent.error is None, status=sent.status, delay=delay)
    values = {
        "state": verdict.state,
        "next_attempt_at": database_now(delay),
        "last_attempt_at": database_now(),
        "last_status": sent.status,
        "last_error": sent.error,
        "last_duration_ms": sent.duration_ms,
        "last_answer": sent.answer,
    }
    if not DELIVERIES.finish(session, claimed.hold, values):
        return None
    if hook.failing_since != verdict.failing_since:
        of_hook = update(Webhook).where(Webhook.id == hook.id)
        session.execute(of_hook.values(failing_since=verdict.failing_since))
    if verdict.disable is not None and hook.state is WebhookState.ENABLED:
        _disable(session, hook, verdict.disable)
    return verdict


def release_delivery(session: Session, claimed: ClaimedDelivery) -> None:
    """Give up a claim without a result, so that another server can send the delivery at once.

    The attempt does not count.
    """
    uncounted = {"uncounted_attempts": WebhookDelivery.uncounted_attempts + 1}
    DELIVERIES.release(session, claimed.hold, uncounted)


def expire_deliveries(session: Session) -> int:
    """Mark one batch of deliveries as failed that were never sent in time; return how many.

    Those of a disabled webhook are such.
    """
    overdue = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.state == DeliveryState.PENDING,
            WebhookDelivery.give_up_at < database_now(-LATENESS),
            _is_free(),
        )
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = session.scalars(overdue).all()
    failed = {"state": DeliveryState.FAILED, "last_error": SendError.EXPIRED}
    if ids:
        session.execute(update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(failed))
    return len(ids)


def delete_old_deliveries(session: Session, *, after: timedelta) -> int:
    """Delete one batch of deliveries older than `after` that are not pending; return how many."""
    old = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.created_at < database_now(-after),
            WebhookDelivery.state != DeliveryState.PENDING,
        )
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = session.scalars(old).all()
    if ids:
        session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))
    return len(ids)


def send_again(session: Session, delivery_id: str) -> None:
    """Make a delivery due now, as if it were new, unless it is being sent at this moment.

    Its webhook is locked.
    """
    statement = (
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, _is_free())
        .values(
            state=DeliveryState.PENDING,
            lease_expires_at=None,
            uncounted_attempts=WebhookDelivery.attempt,
            next_attempt_at=database_now(),
            give_up_at=database_now(GIVE_UP_AFTER),
        )
    )
    session.execute(statement)


def _is_free() -> ColumnElement[bool]:
    lease = WebhookDelivery.lease_expires_at
    return or_(lease.is_(None), lease < database_now())


def _disable(session: Session, hook: Webhook, reason: DisabledReason) -> None:
    values = {
        "state": WebhookState.DISABLED,
        "disabled_reason": reason,
        "revision": Webhook.revision + 1,
    }
    session.execute(update(Webhook).where(Webhook.id == hook.id).values(values))
    record_change(
        session,
        SENDER,
        "webhook.disabled",
        target=hook.id,
        project_id=hook.project_id,
        details={"reason": reason},
    )
