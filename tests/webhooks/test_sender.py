"""Several senders and receivers at once, and the upkeep of deliveries."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import update

from app.core.crash_points import CRASH_AT_VARIABLE, TESTING_VARIABLE, CrashPoint
from app.core.database import Database, database_now
from app.settings import Settings
from app.webhooks.deliveries import LEASE, Sent, claim_delivery, conclude
from app.webhooks.sender import FOR_FAILING, PER_WEBHOOK, THREADS, Sender
from app.webhooks.tables import (
    DeliveryState,
    SendError,
    Webhook,
    WebhookDelivery,
    WebhookState,
)
from tests.waiting import eventually
from tests.worlds.rows import Owner
from tests.worlds.webhooks import (
    LOCAL,
    Receiver,
    a_delivery,
    a_receiver,
    a_webhook,
    deliveries_of,
    settle,
)

pytestmark = pytest.mark.integration

OK = Sent(200, None, 5)


def end_leases(database: Database) -> None:
    """Let every lease expire, as it does a minute after its server died."""
    ended = database_now(-LEASE)
    with database.write() as unit:
        unit.session.execute(update(WebhookDelivery).values(lease_expires_at=ended))


class Gate:
    """An answer that waits until a test opens it, and counts who waits."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.waiting = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.waiting += 1
        self.is_open.wait(20)
        handler.send_response(204)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


class TestTwoServers:
    def test_a_delivery_is_sent_by_one_of_two_servers(
        self, database: Database, receiver: Receiver, hook: Webhook, tmp_path: Path
    ) -> None:
        ids = [a_delivery(database, hook.id) for _ in range(20)]
        settings = Settings(home=tmp_path, webhooks=LOCAL)

        with Sender(database, settings), Sender(database, settings):
            eventually(
                lambda: all(
                    row.state is DeliveryState.DELIVERED for row in deliveries_of(database, hook.id)
                ),
                within=30,
            )

        assert sorted(receiver.ids) == sorted(ids)

    def test_a_claim_is_not_given_twice_before_its_lease_ends(
        self, database: Database, hook: Webhook
    ) -> None:
        a_delivery(database, hook.id)

        with database.write() as unit:
            first = claim_delivery(unit.session, hook.id)
        with database.write() as unit:
            second = claim_delivery(unit.session, hook.id)

        assert first is not None
        assert second is None

    def test_a_delivery_of_a_dead_server_is_sent_again_and_its_late_result_changes_nothing(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        delivery_id = a_delivery(database, hook.id)
        with database.write() as unit:
            claimed = claim_delivery(unit.session, hook.id)
        assert claimed is not None
        end_leases(database)

        settle(sender)
        with database.write() as unit:
            late = conclude(unit.session, claimed, OK, delay=timedelta())

        assert receiver.ids == [delivery_id]
        assert late is None
        assert deliveries_of(database, hook.id)[0].attempt == 2

    def test_the_result_of_a_removed_webhook_changes_nothing(
        self, database: Database, hook: Webhook
    ) -> None:
        a_delivery(database, hook.id)
        with database.write() as unit:
            claimed = claim_delivery(unit.session, hook.id)
            assert claimed is not None
            unit.session.delete(unit.session.merge(hook))

        with database.write() as unit:
            assert conclude(unit.session, claimed, OK, delay=timedelta()) is None


SEND: Final = """
import sys
from pathlib import Path
from app.core.database import Database
from app.settings import Settings
from app.settings.units import LOOPBACK
from app.webhooks.sender import Sender
allowed = {"allow_http": True, "allowed_networks": LOOPBACK}
sender = Sender(Database(sys.argv[1]), Settings(home=Path(sys.argv[2]), webhooks=allowed))
sender.work()
"""


@pytest.mark.mostly_sqlite
def test_a_server_killed_after_a_send_leaves_the_delivery_for_another_one(
    database: Database, sender: Sender, receiver: Receiver, hook: Webhook, tmp_path: Path
) -> None:
    delivery_id = a_delivery(database, hook.id)
    url = database.url.render_as_string(hide_password=False)
    armed = {TESTING_VARIABLE: "1", CRASH_AT_VARIABLE: CrashPoint.DELIVERY_SENT.value}

    killed = subprocess.run(
        [sys.executable, "-c", SEND, url, tmp_path], env={**os.environ, **armed}, check=False
    )
    before = deliveries_of(database, hook.id)[0]
    end_leases(database)
    settle(sender)

    assert killed.returncode == -signal.SIGKILL
    assert (before.state, before.attempt) == (DeliveryState.PENDING, 1)
    assert receiver.ids == [delivery_id, delivery_id]
    assert deliveries_of(database, hook.id)[0].state is DeliveryState.DELIVERED


@pytest.mark.mostly_sqlite
class TestManyReceivers:
    def test_a_receiver_that_hangs_delays_no_other_one(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook, owner: Owner
    ) -> None:
        gate = receiver.answer = Gate()
        with a_receiver() as quick:
            other = a_webhook(database, owner.project_id, owner.user_id, quick.url)
            for _ in range(10):
                a_delivery(database, hook.id)
            for _ in range(3):
                a_delivery(database, other.id)

            def is_served() -> bool:
                sender.work()
                rows = deliveries_of(database, other.id)
                return all(row.state is DeliveryState.DELIVERED for row in rows)

            eventually(is_served, within=20)

            assert gate.waiting == PER_WEBHOOK
            gate.is_open.set()
            settle(sender)

    def test_receivers_that_failed_before_hold_few_of_the_threads(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        gate = receiver.answer = Gate()
        failing = {"failing_since": database_now()}
        for _ in range(FOR_FAILING + 3):
            hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **failing)
            a_delivery(database, hook.id)

        sender.work()
        eventually(lambda: gate.waiting == FOR_FAILING, within=20)
        sender.work()

        assert len(sender._running) == FOR_FAILING
        gate.is_open.set()
        settle(sender)
        assert len(receiver.received) == FOR_FAILING + 3

    def test_a_server_has_a_fixed_number_of_sends_at_once(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        gate = receiver.answer = Gate()
        for _ in range(THREADS):
            hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url)
            for _ in range(PER_WEBHOOK):
                a_delivery(database, hook.id)

        sender.work()

        assert len(sender._running) == THREADS
        gate.is_open.set()
        settle(sender)
        assert len(receiver.received) == THREADS * PER_WEBHOOK


class TestUpkeep:
    def test_a_delivery_that_nobody_could_send_in_time_has_failed(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        disabled = {"state": WebhookState.DISABLED}
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **disabled)
        a_delivery(database, hook.id, give_up_at=database_now(-timedelta(hours=2)))
        a_delivery(database, hook.id)

        sender.work()

        overdue, waiting = deliveries_of(database, hook.id)
        assert (overdue.state, overdue.last_error) == (DeliveryState.FAILED, SendError.EXPIRED)
        assert waiting.state is DeliveryState.PENDING

    def test_old_deliveries_are_removed_unless_they_are_pending(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        disabled = {"state": WebhookState.DISABLED}
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **disabled)
        old = database_now(-timedelta(days=15))
        a_delivery(database, hook.id, state=DeliveryState.DELIVERED, created_at=old)
        a_delivery(database, hook.id, state=DeliveryState.FAILED, created_at=old)
        kept = a_delivery(database, hook.id, state=DeliveryState.PENDING, created_at=old)
        newer = a_delivery(database, hook.id, state=DeliveryState.DELIVERED)

        sender.work()

        assert [row.id for row in deliveries_of(database, hook.id)] == [kept, newer]
