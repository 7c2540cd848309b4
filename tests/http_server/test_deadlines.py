"""Slow clients of every kind are cut off, and honest ones are answered meanwhile (H14, F3)."""

import pytest

from app.http_server.record import CutReason
from tests.http_server.raw_connection import RawConnection
from tests.http_server.served import Served, request
from tests.waiting import eventually

pytestmark = pytest.mark.integration

LENGTH = request("POST", "/echo", "Content-Length: 900000")
CHUNKED = request("POST", "/echo", "Transfer-Encoding: chunked")
SLOW = {
    "half-a-request-line": (b"GET /li", CutReason.SLOW_HEAD),
    "half-a-header": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", CutReason.SLOW_HEAD),
    "empty-lines": (b"\r\n\r\n", CutReason.SLOW_HEAD),
    "no-body": (LENGTH, CutReason.SLOW_BODY),
    "half-a-body": (LENGTH + b"{", CutReason.SLOW_BODY),
    "half-a-chunk": (CHUNKED + b"100\r\nabc", CutReason.SLOW_BODY),
    "half-a-chunk-size": (CHUNKED + b"10", CutReason.SLOW_BODY),
    "half-a-trailer": (CHUNKED + b"1\r\na\r\n0\r\nX-T: ", CutReason.SLOW_HEAD),
    "half-the-last-chunk": (CHUNKED + b"0\r\n", CutReason.SLOW_HEAD),
    "a-second-half-head": (request("GET", "/") + b"GET /", CutReason.SLOW_HEAD),
}


class TestSlowClients:
    @pytest.mark.parametrize("kind", SLOW)
    def test_a_client_that_stops_in_a_message_gets_408(self, hasty: Served, kind: str) -> None:
        sent, cut = SLOW[kind]
        before = hasty.counts.get(cut, 0)

        with hasty.connect() as connection:
            answers = connection.send(sent).answers()

        assert (answers[-1].status, answers[-1].slug) == (408, "request-too-slow")
        assert answers[-1].headers["connection"] == "close"
        assert hasty.counts[cut] == before + 1

    def test_a_connection_without_a_request_is_closed(self, hasty: Served) -> None:
        with hasty.connect() as connection:
            assert connection.is_closed()

        hasty.wait_until_free()

    def test_an_idle_connection_is_closed_after_its_answer(self, hasty: Served) -> None:
        with hasty.connect() as connection:
            answers = connection.send(request("GET", "/")).answers()

        assert [answer.status for answer in answers] == [200]

    @pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", LENGTH, CHUNKED + b"0\r\nX: "])
    def test_a_byte_now_and_then_does_not_help(self, hasty: Served, start: bytes) -> None:
        with hasty.connect() as connection:
            connection.send(start)
            eventually(lambda: drips(connection), within=10)

        hasty.wait_until_free()

    def test_a_client_that_does_not_read_is_reset(self, hasty: Served) -> None:
        before = hasty.counts.get(CutReason.SLOW_READER, 0)

        with hasty.connect() as connection:
            connection.socket.setsockopt(1, 8, 4096)  # SO_RCVBUF
            connection.send(request("GET", "/large?2000"))
            eventually(lambda: hasty.counts.get(CutReason.SLOW_READER, 0) > before, within=10)
            hasty.wait_until_free()

    def test_requests_are_answered_while_200_slow_clients_wait(self, usual: Served) -> None:
        slow = [usual.connect().send(SLOW[kind][0]) for kind in SLOW for _ in range(20)]

        alive = [usual.is_alive() for _ in range(20)]

        assert all(alive)
        for connection in slow:
            connection.__exit__(None, None, None)
        usual.wait_until_free()


def drips(connection: RawConnection) -> bool:
    """Send one byte; return whether the server has closed the connection."""
    try:
        connection.socket.sendall(b"a")
    except OSError:
        return True
    return False


class TestHonestClients:
    def test_a_body_that_keeps_the_rate_may_take_longer_than_the_window(
        self, hasty: Served
    ) -> None:
        piece = b"a" * 4096

        with hasty.connect() as connection:
            connection.send(request("POST", "/echo", f"Content-Length: {12 * len(piece)}"))
            sent: list[bytes] = []
            eventually(lambda: send_next(connection, piece, sent), within=20)
            answer = connection.answer()

        assert answer.json["body"] == piece.decode() * 12

    def test_a_head_in_pieces_is_read(self, usual: Served) -> None:
        with usual.connect() as connection:
            for byte in request("GET", "/pieces"):
                connection.send(bytes([byte]))
            answer = connection.answer()

        assert answer.json["path"] == "/pieces"

    def test_a_slow_answer_of_the_application_is_awaited(self, hasty: Served) -> None:
        with hasty.connect() as connection:
            connection.send(request("GET", "/large?64"))
            answer = connection.answer()

        assert len(answer.body) == 64 * 65536


def send_next(connection: RawConnection, piece: bytes, sent: list[bytes]) -> bool:
    """Send a piece, one with each call of `eventually`; return whether it was the last."""
    connection.send(piece)
    sent.append(piece)
    return len(sent) == 12
