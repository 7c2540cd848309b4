"""An owner, a receiver, a webhook that leads to it, and a sender."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.database import Database
from app.webhooks.sender import Sender
from app.webhooks.tables import Webhook
from tests.worlds.rows import Owner, an_owner
from tests.worlds.webhooks import Receiver, a_receiver, a_sender, a_webhook, answering


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[Receiver]:
    with a_receiver() as running:
        yield running


@pytest.fixture
def receiver(shared_receiver: Receiver) -> Receiver:
    shared_receiver.answer = answering(204)
    shared_receiver.received.clear()
    return shared_receiver


@pytest.fixture
def sender(database: Database, tmp_path: Path) -> Iterator[Sender]:
    with a_sender(database, tmp_path / "home") as sender:
        yield sender


@pytest.fixture
def hook(database: Database, owner: Owner, receiver: Receiver) -> Webhook:
    return a_webhook(database, owner.project_id, owner.user_id, receiver.url)
