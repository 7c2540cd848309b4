"""Where the connection of a send leads (rows W1 and W2), and whose certificate it needs."""

import shutil
import ssl
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import pytest

from app.core.database import Database
from app.settings.webhooks import WebhookSettings
from app.webhooks.addresses import Address
from app.webhooks.sender import Sender
from app.webhooks.tables import DeliveryState, SendError, Webhook
from tests.worlds.rows import Owner, an_owner
from tests.worlds.webhooks import (
    FakeResolver,
    Receiver,
    a_receiver,
    a_sender,
    a_webhook,
    result,
    sent,
)

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

HOST: Final = "hooks.example.com"


class Rebinding:
    """Name servers that answer with one address first, and another one later."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def addresses_of(self, host: str, *, within: float) -> tuple[Address, ...]:
        del host, within
        return (ip_address(self.answers.pop(0)),)


class TestAddresses:
    def test_w2_a_name_that_is_private_at_the_send_gets_nothing(
        self, database: Database, receiver: Receiver, owner: Owner, tmp_path: Path
    ) -> None:
        hook = a_webhook(
            database, owner.project_id, owner.user_id, f"http://{HOST}:{receiver.port}/"
        )
        resolver = FakeResolver({HOST: ("127.0.0.1",)})
        only_public = WebhookSettings(allow_http=True)

        with a_sender(database, tmp_path, resolver=resolver, webhooks=only_public) as sender:
            row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, None, SendError.ADDRESS_NOT_ALLOWED)
        assert receiver.received == []

    def test_w2_a_name_is_looked_up_once_and_that_address_is_used(
        self, database: Database, receiver: Receiver, owner: Owner, tmp_path: Path
    ) -> None:
        url = f"http://{HOST}:{receiver.port}/"
        hook = a_webhook(database, owner.project_id, owner.user_id, url)
        resolver = Rebinding("127.0.0.1", "10.0.0.1")

        with a_sender(database, tmp_path, resolver=resolver) as sender:
            sent(database, sender, hook)

        (message,) = receiver.received
        assert message.headers["host"] == f"{HOST}:{receiver.port}"
        assert resolver.answers == ["10.0.0.1"]

    def test_a_name_without_an_address_is_a_failure(
        self, database: Database, owner: Owner, tmp_path: Path
    ) -> None:
        hook = a_webhook(database, owner.project_id, owner.user_id, f"https://{HOST}/")

        with a_sender(database, tmp_path, resolver=FakeResolver({})) as sender:
            row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, None, SendError.HOST_NOT_FOUND)

    def test_the_first_address_that_answers_is_used(
        self, database: Database, receiver: Receiver, owner: Owner, tmp_path: Path
    ) -> None:
        url = f"http://{HOST}:{receiver.port}/"
        hook = a_webhook(database, owner.project_id, owner.user_id, url)
        resolver = FakeResolver({HOST: ("127.0.0.2", "127.0.0.1")})

        with a_sender(database, tmp_path, resolver=resolver) as sender:
            row = sent(database, sender, hook)

        assert row.state is DeliveryState.DELIVERED

    def test_a_url_that_the_settings_no_longer_allow_gets_nothing(
        self, database: Database, receiver: Receiver, hook: Webhook, tmp_path: Path
    ) -> None:
        with a_sender(database, tmp_path, webhooks=WebhookSettings()) as sender:
            row = sent(database, sender, hook)

        assert result(row) == (DeliveryState.PENDING, None, SendError.URL_NOT_ALLOWED)
        assert receiver.received == []

    def test_proxies_of_the_environment_are_not_used(
        self, database: Database, sender: Sender, hook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1/")

        assert sent(database, sender, hook).state is DeliveryState.DELIVERED


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `HOST`, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("makes a certificate")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    command = [
        *(program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
        *("-keyout", str(files[1]), "-out", str(files[0])),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return files


class TestTls:
    @pytest.mark.parametrize(
        ("host", "is_trusted", "expected"),
        [
            (HOST, True, (DeliveryState.DELIVERED, 204, None)),
            (HOST, False, (DeliveryState.PENDING, None, SendError.TLS_FAILED)),
            ("other.example.com", True, (DeliveryState.PENDING, None, SendError.TLS_FAILED)),
        ],
        ids=["trusted", "unknown authority", "another name"],
    )
    def test_the_certificate_must_be_of_the_host_in_the_url(
        self,
        database: Database,
        tmp_path: Path,
        certificate: tuple[Path, Path],
        host: str,
        is_trusted: bool,  # noqa: FBT001 -- a column of the table
        expected: tuple[object, ...],
    ) -> None:
        owner = an_owner(database)
        tls = ssl.create_default_context(cafile=certificate[0] if is_trusted else None)
        resolver = FakeResolver({host: ("127.0.0.1",)})
        with a_receiver(certificate=certificate) as receiver:
            url = f"https://{host}:{receiver.port}/"
            hook = a_webhook(database, owner.project_id, owner.user_id, url)

            with a_sender(database, tmp_path, resolver=resolver, tls=tls) as sender:
                row = sent(database, sender, hook)

        assert result(row) == expected
