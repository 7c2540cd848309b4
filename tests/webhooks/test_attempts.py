"""Attempts that do not count: interrupted ones, and those before a delivery was sent again."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.core.database import Database
from app.webhooks.deliveries import (
    ClaimedDelivery,
    Sent,
    claim_delivery,
    conclude,
    release_delivery,
    send_again,
)
from app.webhooks.schedule import FIRST_DELAY
from app.webhooks.sender import Sender
from app.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from tests.worlds.webhooks import Receiver, a_delivery, answering, deliveries_of, settle

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


def the_next_delay(database: Database, hook: Webhook) -> timedelta:
    """Return the time between the last attempt of a delivery and the next one."""
    (row,) = deliveries_of(database, hook.id)
    assert row.last_attempt_at is not None
    return row.next_attempt_at - row.last_attempt_at


def claimed(database: Database, hook: Webhook) -> ClaimedDelivery:
    """Claim the delivery of a webhook that is due."""
    with database.write() as unit:
        found = claim_delivery(unit.session, hook.id)
    assert found is not None
    return found


def test_an_interrupted_attempt_does_not_make_the_next_delay_longer(
    database: Database, sender: Sender, receiver: Receiver, hook: Webhook
) -> None:
    receiver.answer = answering(500)
    a_delivery(database, hook.id)
    for _ in range(5):
        interrupted = claimed(database, hook)
        with database.write() as unit:
            release_delivery(unit.session, interrupted)

    settle(sender)

    assert the_next_delay(database, hook) < FIRST_DELAY * 2


def test_a_delivery_that_is_sent_again_starts_with_the_first_delay(
    database: Database, sender: Sender, receiver: Receiver, hook: Webhook
) -> None:
    receiver.answer = answering(500)
    delivery_id = a_delivery(database, hook.id, state=DeliveryState.FAILED, attempt=9)
    with database.write() as unit:
        send_again(unit.session, delivery_id)

    settle(sender)

    assert the_next_delay(database, hook) < FIRST_DELAY * 2


def test_a_late_result_of_an_attempt_before_it_was_sent_again_changes_nothing(
    database: Database, hook: Webhook
) -> None:
    delivery_id = a_delivery(database, hook.id)
    late = claimed(database, hook)
    with database.write() as unit:
        unit.session.execute(update(WebhookDelivery).values(lease_expires_at=None))
        send_again(unit.session, delivery_id)
    claimed(database, hook)

    with database.write() as unit:
        verdict = conclude(unit.session, late, Sent(200, None, 5), delay=timedelta())

    assert verdict is None
