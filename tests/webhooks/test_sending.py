"""What a sender sends, to whom, and what follows from each kind of answer."""

from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier

from app.audit.tables import AuditRecord
from app.core.database import Database, database_now
from app.webhooks import sending
from app.webhooks.sender import Sender
from app.webhooks.signatures import new_secret
from app.webhooks.tables import (
    DeliveryState,
    DisabledReason,
    SendError,
    Webhook,
    WebhookState,
)
from tests.worlds.rows import Owner
from tests.worlds.webhooks import (
    BODY,
    LOCAL,
    Answering,
    Receiver,
    a_delivery,
    a_receiver,
    a_sender,
    a_webhook,
    answering,
    deliveries_of,
    make_due,
    result,
    sent,
    settle,
    webhook_row,
)

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

PIECE: Final = b"x" * 16_384


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt may take half a second instead of ten."""
    monkeypatch.setattr(sending, "SECONDS", 0.5)


class TestMessage:
    def test_a_message_is_verified_by_an_independent_implementation(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        row = sent(database, sender, hook)

        (message,) = receiver.received
        assert Verifier(hook.secret).verify(message.body, dict(message.headers))
        assert (message.id, message.body.decode(), message.path) == (row.id, BODY, "/hook")
        assert message.headers["content-type"] == "application/json"
        assert result(row) == (DeliveryState.DELIVERED, 204, None)

    def test_a_message_has_no_cookie_and_no_credential(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        receiver.answer = answering(500, headers={"Set-Cookie": "a=b"})
        a_delivery(database, hook.id)
        settle(sender)
        make_due(database)

        settle(sender)

        assert len(receiver.received) == 2
        assert {"cookie", "authorization"} & receiver.received[1].headers.keys() == set()

    def test_w5_a_repetition_has_the_same_id_and_body_and_a_later_signature(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        receiver.answer = answering(500)
        a_delivery(database, hook.id)
        settle(sender)
        receiver.answer = answering(200)
        make_due(database)

        settle(sender)

        first, second = receiver.received
        assert (first.id, first.body) == (second.id, second.body)
        assert Verifier(hook.secret).verify(second.body, dict(second.headers))
        assert [row.attempt for row in deliveries_of(database, hook.id)] == [2]

    def test_w6_both_secrets_verify_a_message_until_the_overlap_ends(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        previous = new_secret()
        ends = {"previous_secret": previous, "previous_secret_ends_at": database_now(timedelta(1))}
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **ends)

        sent(database, sender, hook)

        (message,) = receiver.received
        for secret in (hook.secret, previous):
            assert Verifier(secret).verify(message.body, dict(message.headers))

    def test_w6_the_previous_secret_does_not_sign_after_its_end(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        ended = {
            "previous_secret": new_secret(),
            "previous_secret_ends_at": database_now(-timedelta(seconds=1)),
        }
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **ended)

        sent(database, sender, hook)

        (message,) = receiver.received
        assert len(message.headers["webhook-signature"].split()) == 1


def stay_silent(receiver: Receiver) -> Answering:
    def answer(_: BaseHTTPRequestHandler) -> None:
        receiver.is_closing.wait(20)

    return answer


def trickle(receiver: Receiver) -> Answering:
    """A success whose body never ends, a byte at a time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not receiver.is_closing.wait(0.02):
            handler.wfile.write(b"x")

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def send_no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n")


def flood_with_interim_answers(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 100)


def send_endless_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Padding: " + PIECE + b"\r\n")


class TestBadReceivers:
    @pytest.mark.parametrize("status", [301, 304, 400, 404, 429, 500, 503])
    def test_w4_an_answer_that_is_no_success_is_repeated_later(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook, status: int
    ) -> None:
        receiver.answer = answering(status)

        row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, status, SendError.STATUS)
        assert row.last_attempt_at is not None
        assert row.next_attempt_at > row.last_attempt_at + timedelta(seconds=5)
        assert webhook_row(database, hook.id).failing_since is not None

    @pytest.mark.usefixtures("_hurried")
    @pytest.mark.parametrize("kind", [stay_silent, trickle], ids=["silent", "trickling"])
    def test_w4_an_answer_that_is_not_complete_in_time_is_a_failure(
        self,
        database: Database,
        sender: Sender,
        receiver: Receiver,
        hook: Webhook,
        kind: Callable[[Receiver], Answering],
    ) -> None:
        receiver.answer = kind(receiver)

        row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, None, SendError.TIMEOUT)

    @pytest.mark.parametrize(
        "answer",
        [hang_up, send_no_http, flood_with_interim_answers, send_endless_headers],
        ids=lambda answer: answer.__name__,
    )
    def test_w4_what_is_no_answer_in_http_is_a_failure(
        self,
        database: Database,
        sender: Sender,
        receiver: Receiver,
        hook: Webhook,
        answer: Answering,
    ) -> None:
        receiver.answer = answer

        row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, None, SendError.INVALID_ANSWER)

    def test_w4_a_huge_answer_is_read_up_to_its_limit_only(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        written = []

        def endless(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            while True:
                written.append(handler.wfile.write(PIECE))

        receiver.answer = endless

        row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.DELIVERED, 200, None)
        assert row.last_answer is not None
        assert len(row.last_answer) == 1024

    def test_the_beginning_of_an_answer_is_kept_as_visible_text(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        receiver.answer = answering(500, b"no\x00 \xff\x1b[2J" + "\u202e".encode())

        row = sent(database, sender, hook)

        assert row.last_answer == "no\\x00 \ufffd\\x1b[2J\\u202e"

    def test_w3_a_redirect_is_not_followed(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        with a_receiver() as other:
            receiver.answer = answering(307, headers={"Location": other.url})

            row = sent(database, sender, hook)

            assert other.received == []
        assert result(row) == (DeliveryState.PENDING, 307, SendError.STATUS)

    def test_a_port_where_nobody_listens_is_a_failure(
        self, database: Database, sender: Sender, owner: Owner
    ) -> None:
        with a_receiver() as gone:
            url = gone.url
        hook = a_webhook(database, owner.project_id, owner.user_id, url)

        row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, None, SendError.CONNECTION_FAILED)

    def test_w4_a_delivery_fails_for_good_after_its_last_attempt(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        receiver.answer = answering(500)
        a_delivery(database, hook.id, give_up_at=database_now(timedelta(seconds=1)))

        settle(sender)

        (row,) = deliveries_of(database, hook.id)
        assert result(row) == (DeliveryState.FAILED, 500, SendError.STATUS)


class TestDisabling:
    def test_a_webhook_that_is_gone_is_disabled_and_the_change_recorded(
        self, database: Database, sender: Sender, receiver: Receiver, hook: Webhook
    ) -> None:
        receiver.answer = answering(410)

        row = sent(database, sender, hook)

        changed = webhook_row(database, hook.id)
        assert row.state is DeliveryState.FAILED
        assert (changed.state, changed.disabled_reason) == (
            WebhookState.DISABLED,
            DisabledReason.GONE,
        )
        assert changed.revision == hook.revision + 1
        with database.read() as unit:
            (record,) = unit.session.scalars(select(AuditRecord)).all()
        assert (record.action, record.target, record.credential, record.details) == (
            "webhook.disabled",
            hook.id,
            "webhook-sender",
            {"reason": "gone"},
        )

    def test_w4_a_webhook_that_only_fails_for_days_is_disabled(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        since = {"failing_since": database_now(-timedelta(days=4))}
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **since)
        receiver.answer = answering(500)

        sent(database, sender, hook)

        assert webhook_row(database, hook.id).disabled_reason is DisabledReason.FAILING

    def test_a_success_ends_the_time_of_failures(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        since = {"failing_since": database_now(-timedelta(days=4))}
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **since)

        sent(database, sender, hook)

        changed = webhook_row(database, hook.id)
        assert (changed.failing_since, changed.state) == (None, WebhookState.ENABLED)

    def test_nothing_is_sent_to_a_disabled_webhook(
        self, database: Database, sender: Sender, receiver: Receiver, owner: Owner
    ) -> None:
        state = {"state": WebhookState.DISABLED}
        hook = a_webhook(database, owner.project_id, owner.user_id, receiver.url, **state)

        row = sent(database, sender, hook)

        assert (row.state, row.attempt, receiver.received) == (DeliveryState.PENDING, 0, [])


def test_a_sender_that_stops_gives_its_delivery_back(
    database: Database, tmp_path: Path, receiver: Receiver, hook: Webhook
) -> None:
    receiver.answer = stay_silent(receiver)
    a_delivery(database, hook.id)
    with a_sender(database, tmp_path, webhooks=LOCAL) as sender:
        sender.work()

        sender._stopping.set()

    (row,) = deliveries_of(database, hook.id)
    assert (row.state, row.lease_expires_at, row.attempts) == (DeliveryState.PENDING, None, 0)
