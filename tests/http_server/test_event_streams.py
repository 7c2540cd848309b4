"""Event streams may be silent for ever, but a client that takes no write is cut (H20, P10)."""

import socket
from pathlib import Path

import pytest

from app.http_server import exchange
from app.http_server.record import CutReason
from tests.http_server.raw_connection import RawConnection
from tests.http_server.served import Served, descriptors, request, served
from tests.waiting import eventually

pytestmark = pytest.mark.integration

PIECES = 200
"""More than the kernel keeps for a client."""


def not_reading(server: Served) -> RawConnection:
    """Open a stream with much to read, and read nothing of it."""
    connection = server.connect()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection.send(request("GET", f"/events?{PIECES}"))


def cuts(server: Served) -> int:
    return server.counts.get(CutReason.SLOW_READER, 0)


def test_a_client_that_takes_no_write_is_cut_and_leaves_nothing(
    usual: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STREAM_WRITE_SECONDS", 0.2)
    before, files = cuts(usual), []

    for number in (1, 2, 3):
        with not_reading(usual):
            eventually(lambda cut=before + number: cuts(usual) == cut, within=10)  # type: ignore[misc] # bound now
            usual.wait_until_free()
        files.append(descriptors())

    assert files[2] <= files[0]  # the loop opens one for itself at its first cut


def test_no_more_than_one_write_waits_for_a_client(usual: Served) -> None:
    with not_reading(usual):
        state = usual.server.server_state
        eventually(lambda: bool(state.connections), within=10)
        writer = next(iter(state.connections))._writer  # type: ignore[union-attr] # it is our protocol
        eventually(lambda: writer._drain_timer is not None, within=10)

        waiting = writer._transport.get_write_buffer_size()

        assert 0 < waiting <= 2 * 65536
    usual.wait_until_free()


def test_a_client_that_reads_gets_everything_and_the_end_of_the_connection(usual: Served) -> None:
    with usual.connect() as connection:
        answer = connection.send(request("GET", f"/events?{PIECES}")).answer()

        assert len(answer.body) == PIECES * 65536
        assert answer.headers["connection"] == "close"
        assert connection.is_closed()


def test_a_stopping_server_does_not_wait_for_a_client_that_reads_nothing(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        connection = not_reading(server)
        eventually(lambda: bool(server.server.server_state.connections), within=10)
        writer = next(iter(server.server.server_state.connections))._writer  # type: ignore[union-attr] # it is our protocol
        eventually(lambda: writer._drain_timer is not None, within=10)

    assert cuts(server) == 1
    connection.__exit__(None, None, None)
