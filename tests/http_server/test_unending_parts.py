"""Each part of a message that has no end is cut off; others are answered (H7, H13)."""

from collections.abc import Iterator

import psutil
import pytest

from app.http_server.record import CutReason
from tests.http_server.served import Served, request

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
MOST_BYTES = 16 * MIB
PIECE = 64 * 1024
CHUNKED = request("POST", "/echo", "Transfer-Encoding: chunked")
FIRST = "POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n"

UNENDING = {
    "method": (b"", b"A"),
    "target": (b"GET /", b"a"),
    "version": (b"GET / HTTP/1.", b"1"),
    "header-name": (b"GET / HTTP/1.1\r\n", b"a"),
    "header-value": (b"GET / HTTP/1.1\r\nX-A: ", b"a"),
    "header-spaces": (b"GET / HTTP/1.1\r\nX-A:", b" "),
    "headers": (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
    "lines-before-the-head": (b"", b"\r\n"),
    "chunk-size": (CHUNKED, b"0"),
    "chunk-extension": (CHUNKED + b"1;", b"a"),
    "chunk-extensions": (CHUNKED, b"1;" + b"a" * 1000 + b"\r\nb\r\n"),
    "trailer-name": (CHUNKED + b"0\r\n", b"a"),
    "trailer-value": (CHUNKED + b"0\r\nX-T: ", b"a"),
    "trailers": (CHUNKED + b"0\r\n", b"X-T: b\r\n"),
    "body-after-an-early-answer": (request("POST", "/early", f"Content-Length: {2**40}"), b"a"),
    "chunks-after-an-early-answer": (
        request("POST", "/early", "Transfer-Encoding: chunked"),
        b"1000\r\n" + b"a" * 0x1000 + b"\r\n",
    ),
    "bytes-after-a-refusal": (b"GET / HTTP/1.1\nX", b"a"),
}
CPU_SECONDS = 2.0
MEMORY_BYTES = 24 * MIB


@pytest.fixture(autouse=True)
def _memory_stays_bounded(usual: Served) -> Iterator[None]:
    assert usual.is_alive()
    process = psutil.Process()
    before = process.memory_info().rss
    yield
    assert process.memory_info().rss - before < MEMORY_BYTES
    assert usual.is_alive()


@pytest.mark.parametrize("part", UNENDING)
def test_a_part_without_an_end_is_cut_off(usual: Served, part: str) -> None:
    start, unit = UNENDING[part]
    piece = unit * (PIECE // len(unit))
    sent = 0

    with usual.connect() as connection:
        connection.socket.sendall(start)
        try:
            while sent < MOST_BYTES:
                connection.socket.sendall(piece)
                sent += len(piece)
        except OSError:
            pass  # cut off

    assert sent < MOST_BYTES


@pytest.mark.parametrize(
    ("part", "status", "slug"),
    [
        ("method", 431, "head-too-large"),
        ("target", 431, "head-too-large"),
        ("header-name", 431, "head-too-large"),
        ("header-value", 431, "head-too-large"),
        ("headers", 431, "head-too-large"),
        ("lines-before-the-head", 431, "head-too-large"),
        ("chunk-size", 431, "head-too-large"),
        ("chunk-extension", 431, "head-too-large"),
        ("chunk-extensions", 431, "head-too-large"),
        ("trailer-name", 431, "head-too-large"),
        ("trailer-value", 431, "head-too-large"),
        ("trailers", 431, "head-too-large"),
    ],
)
def test_a_part_that_is_too_long_is_named(usual: Served, part: str, status: int, slug: str) -> None:
    start, unit = UNENDING[part]

    with usual.connect() as connection:
        answers = connection.send(start + unit * (128 * 1024 // len(unit))).answers()

    assert [(answer.status, answer.slug) for answer in answers] == [(status, slug)]
    assert answers[0].headers["connection"] == "close"
    assert usual.counts[CutReason.TOO_LARGE] > 0


def test_more_than_256_small_headers_are_refused(usual: Served) -> None:
    lines = [f"X-{number}: a" for number in range(300)]

    with usual.connect() as connection:
        answers = connection.send(request("GET", "/", *lines)).answers()

    assert [answer.slug for answer in answers] == ["head-too-large"]


@pytest.mark.parametrize("part", ["header-value", "trailer-value", "chunk-size"])
def test_single_bytes_cost_no_more_than_their_number(usual: Served, part: str) -> None:
    start, unit = UNENDING[part]
    process = psutil.Process()

    with usual.connect() as connection:
        connection.socket.setsockopt(6, 1, 1)  # TCP_NODELAY: each byte is a packet
        connection.socket.sendall(start)
        before = process.cpu_times()
        for _ in range(900):
            connection.socket.sendall(unit)
    after = process.cpu_times()

    assert after.user - before.user < CPU_SECONDS
    usual.wait_until_free()
