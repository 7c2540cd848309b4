"""A proxy between browser and server that treats event streams badly."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

STREAM: Final = b"GET /v1/events/stream"
END_OF_HEAD: Final = b"\r\n\r\n"
CHUNK: Final = 65536


class Treatment(Enum):
    """What the proxy does with an event stream."""

    BUFFER = auto()
    """Wait for its end before anything is passed on."""
    CUT = auto()
    """Close the connection without an answer."""


@contextmanager
def a_proxy(url: str, treatment: Treatment) -> Iterator[str]:
    """Run a proxy in front of the server at `url`; yield its own URL."""
    address = urlsplit(url)
    server = (str(address.hostname), int(address.port or 0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_serve, args=(listener, server, treatment), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, server: tuple[str, int], treatment: Treatment) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            client = listener.accept()[0]
            Thread(target=_answer, args=(client, server, treatment), daemon=True).start()


def _answer(client: socket.socket, server: tuple[str, int], treatment: Treatment) -> None:
    """Pass one request on, and close the connection after its answer."""
    with client, suppress(OSError), socket.create_connection(server) as upstream:
        head = _head(client)
        is_stream = head.startswith(STREAM)
        if is_stream and treatment is Treatment.CUT:
            return
        upstream.sendall(head.replace(b"Connection: keep-alive", b"Connection: close"))
        Thread(target=_pass_on, args=(client, upstream), daemon=True).start()
        if is_stream:
            client.sendall(_everything(upstream))
        else:
            _pass_on(upstream, client)


def _head(client: socket.socket) -> bytes:
    """Return the head of a request, with what came of its body."""
    head = b""
    while END_OF_HEAD not in head:
        part = client.recv(CHUNK)
        if not part:
            break
        head += part
    return head


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(CHUNK):
            target.sendall(part)


def _everything(source: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    whole = b""
    while part := source.recv(CHUNK):
        whole += part
    return whole
