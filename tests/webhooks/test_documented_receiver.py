"""The receiver in docs/webhooks.md runs, and accepts what a sender signs."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2 as httpx
import pytest

from app.core.database import Database
from app.webhooks.signatures import new_secret
from app.webhooks.tables import DeliveryState
from tests.architecture.sources import ROOT
from tests.waiting import eventually
from tests.worlds.rows import an_owner
from tests.worlds.webhooks import a_delivery, a_sender, a_webhook, deliveries_of, settle

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

SECRET: Final = new_secret()
DOCUMENT: Final = (ROOT / "docs/webhooks.md").read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Run the receiver of the document, and yield its port."""
    found = re.search(r"^```python\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found is not None
    script = tmp_path / "receiver.py"
    script.write_text(found[1])
    port = free_port()
    environment = {**os.environ, "SECRET": SECRET, "PORT": str(port)}
    output = (tmp_path / "output.txt").open("wb")
    with (
        output,
        subprocess.Popen(
            [sys.executable, script], env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        eventually(lambda: is_listening(port), within=30)
        yield port
        process.kill()


def test_the_documented_receiver_accepts_a_signed_message(
    database: Database, port: int, tmp_path: Path
) -> None:
    owner = an_owner(database)
    url = f"http://127.0.0.1:{port}/"
    hook = a_webhook(database, owner.project_id, owner.user_id, url, secret=SECRET)
    delivery_id = a_delivery(database, hook.id)

    with a_sender(database, tmp_path / "home") as sender:
        settle(sender)

    (row,) = deliveries_of(database, hook.id)
    assert row.state is DeliveryState.DELIVERED, row.last_answer
    assert f"{delivery_id} webhook.test" in (tmp_path / "output.txt").read_text()


@pytest.mark.parametrize("stamp", ["1614265330", None])
def test_the_documented_receiver_refuses_a_forged_or_old_message(
    port: int, stamp: str | None
) -> None:
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp or "99999999999",
        "webhook-signature": "v1,AAAA v1a,BBBB",
    }

    answer = httpx.post(f"http://127.0.0.1:{port}/", content=b"{}", headers=headers)

    assert answer.status_code == 401
