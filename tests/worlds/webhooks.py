"""The world `webhooks`: hooks and deliveries as rows, a receiver, and a sender of its own."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, update

from app.core.database import Database, database_now
from app.events.log import newest_sealed
from app.settings import Settings
from app.settings.units import LOOPBACK
from app.settings.webhooks import WebhookSettings
from app.webhooks.addresses import Address
from app.webhooks.bodies import TEST_EVENT
from app.webhooks.deliveries import insert_deliveries, new_delivery
from app.webhooks.repository import insert_webhook
from app.webhooks.sender import Sender
from app.webhooks.signatures import new_secret
from app.webhooks.tables import (
    DeliveryState,
    SendError,
    Webhook,
    WebhookDelivery,
    WebhookState,
)
from tests.waiting import eventually

LOCAL: Final = WebhookSettings(allow_http=True, allowed_networks=LOOPBACK)
"""Receivers on this machine are allowed."""

BODY: Final = '{"type":"webhook.test"}'
MANY: Final = 10_000


def a_webhook(
    database: Database, project_id: str, user_id: str, url: str, **columns: object
) -> Webhook:
    """Add an enabled webhook that gets every event from now on; `columns` override its columns."""
    with database.write() as unit:
        newest = newest_sealed(unit.session)
        values = {
            "project_id": project_id,
            "created_by": user_id,
            "url": url,
            "events": ["*"],
            "description": "",
            "secret": new_secret(),
            "state": WebhookState.ENABLED,
            "after_transaction": newest.transaction_id,
            "after_position": newest.position,
            "revision": 1,
            "created_at": database_now(),
        }
        return insert_webhook(unit.session, values | columns, limit=MANY)


def a_delivery(database: Database, webhook_id: str, **columns: object) -> str:
    """Add a delivery that is due now; `columns` override its columns. Return its id."""
    row = new_delivery(webhook_id, TEST_EVENT, BODY)
    with database.write() as unit:
        insert_deliveries(unit.session, [row])
        if columns:
            named = update(WebhookDelivery).where(WebhookDelivery.id == row["id"])
            unit.session.execute(named.values(columns))
    return str(row["id"])


def webhook_row(database: Database, webhook_id: str) -> Webhook:
    with database.read() as unit:
        return unit.session.scalars(select(Webhook).where(Webhook.id == webhook_id)).one()


def deliveries_of(database: Database, webhook_id: str) -> list[WebhookDelivery]:
    """Return the deliveries of a webhook, oldest first."""
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    with database.read() as unit:
        return list(unit.session.scalars(statement.order_by(WebhookDelivery.id)))


def make_due(database: Database) -> None:
    """Make every pending delivery due now, as if the time of its delay had passed."""
    with database.write() as unit:
        unit.session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.state == DeliveryState.PENDING)
            .values(next_attempt_at=database_now())
        )


@dataclass
class FakeResolver:
    """Name servers at the edge of the world: they answer from a table, and note the questions."""

    table: Mapping[str, tuple[str, ...]]
    asked: list[str] = field(default_factory=list)

    def addresses_of(self, host: str, *, within: float) -> tuple[Address, ...]:
        del within
        self.asked.append(host)
        return tuple(ip_address(each) for each in self.table.get(host, ()))


@dataclass(frozen=True)
class Received:
    """A request that a receiver got."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answering = Callable[[BaseHTTPRequestHandler], None]


def answering(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answering:
    """Return what answers every request in the same way."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@dataclass
class Receiver:
    """An HTTP server on this machine, whose answers a test chooses."""

    port: int
    answer: Answering = field(default_factory=lambda: answering(204))
    received: list[Received] = field(default_factory=list)
    is_closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.received]


@contextmanager
def a_receiver(*, certificate: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    """Run a receiver; with the files of a certificate and its key, it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            self.close_connection = True
            try:
                receiver.answer(self)
            except OSError:
                return  # the sender hung up

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 -- http.server's signature
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # noqa: ANN401 -- socketserver's signature
            """Print nothing: senders hang up, and TLS fails, on purpose."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.is_closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def a_sender(database: Database, home: Path, **options: Any) -> Iterator[Sender]:  # noqa: ANN401
    """Yield a sender whose thread does not run: a test calls `work`, then `settle`."""
    webhooks = options.pop("webhooks", LOCAL)
    settings = Settings(home=home, database_url=None, webhooks=webhooks)
    sender = Sender(database, settings, **options)
    try:
        yield sender
    finally:
        sender._stopping.set()
        sender._pool.shutdown()


def settle(sender: Sender, *, within: float = 20.0) -> None:
    """Send everything that is due, and wait until it is recorded."""

    def is_settled() -> bool:
        sender.work()
        return not sender._running

    eventually(is_settled, within=within)


def sent(database: Database, sender: Sender, hook: Webhook) -> WebhookDelivery:
    """Send one delivery, and return its row."""
    a_delivery(database, hook.id)
    settle(sender)
    (found,) = deliveries_of(database, hook.id)
    return found


def result(row: WebhookDelivery) -> tuple[DeliveryState, int | None, SendError | None]:
    return (row.state, row.last_status, row.last_error)
