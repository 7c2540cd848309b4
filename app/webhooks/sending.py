"""One attempt to send a delivery: judge the URL, resolve, sign, post, and name the result."""

import ssl
import time
from collections.abc import Callable
from typing import Final

import httpcore2

from app.core.plain_text import shown
from app.version import VERSION
from app.webhooks.deliveries import ClaimedDelivery, Sent
from app.webhooks.destinations import DestinationRules, UrlFault
from app.webhooks.posting import (
    CONNECT_SECONDS,
    Answer,
    Deadline,
    Interrupted,
    Message,
    TlsFailed,
    post,
)
from app.webhooks.signatures import signed_headers
from app.webhooks.tables import SendError

__all__ = ["Interrupted", "send"]

SECONDS: Final = 10.0
"""For everything together: the name servers, the connection, TLS, the request and the answer."""

SHOWN_ANSWER: Final = 1024
SUCCESS: Final = range(200, 300)
_ERRORS: Final[tuple[tuple[type[Exception], SendError], ...]] = (
    (TimeoutError, SendError.TIMEOUT),
    (httpcore2.TimeoutException, SendError.TIMEOUT),
    (TlsFailed, SendError.TLS_FAILED),
    (httpcore2.ConnectError, SendError.CONNECTION_FAILED),
    (httpcore2.NetworkError, SendError.INVALID_ANSWER),
    (httpcore2.ProtocolError, SendError.INVALID_ANSWER),
)
"""The first that matches."""


def send(
    claimed: ClaimedDelivery,
    rules: DestinationRules,
    tls: ssl.SSLContext,
    is_stopping: Callable[[], bool],
) -> Sent:
    """Send a delivery once.

    Args:
        claimed: the delivery.
        rules: judge its URL and the addresses of its host.
        tls: checks the certificate of the receiver.
        is_stopping: whether the server stops.

    Raises:
        Interrupted: the server stops; the attempt does not count.
    """
    started = time.monotonic()
    deadline = Deadline(started + SECONDS, is_stopping)
    try:
        result = _post(claimed, rules, tls, deadline)
    except tuple(kind for kind, _ in _ERRORS) as error:
        result = next(name for kind, name in _ERRORS if isinstance(error, kind))
    duration_ms = round((time.monotonic() - started) * 1000)
    if isinstance(result, SendError):
        return Sent(None, result, duration_ms)
    refusal = None if result.status in SUCCESS else SendError.STATUS
    return Sent(result.status, refusal, duration_ms, _beginning(result.body))


def _post(
    claimed: ClaimedDelivery, rules: DestinationRules, tls: ssl.SSLContext, deadline: Deadline
) -> Answer | SendError:
    to = rules.destination(claimed.url)
    if isinstance(to, UrlFault):
        return SendError.URL_NOT_ALLOWED
    addresses = rules.addresses(to, within=deadline.left(CONNECT_SECONDS))
    if addresses is UrlFault.UNKNOWN_HOST:
        return SendError.HOST_NOT_FOUND
    if isinstance(addresses, UrlFault):
        return SendError.ADDRESS_NOT_ALLOWED
    body = claimed.body.encode()
    headers = {
        "User-Agent": f"trainyard/{VERSION}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        **signed_headers(claimed.id, int(time.time()), body, claimed.keys),
    }
    return post(to, addresses, Message(headers, body), deadline, tls)


def _beginning(body: bytes) -> str:
    """Return the first KiB of an answer as text that people can see."""
    return shown(body[:SHOWN_ANSWER].decode("utf-8", "replace"), limit=SHOWN_ANSWER)
