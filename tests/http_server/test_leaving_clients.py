"""Clients that leave are no failures of the server, and nothing of them stays (H20, F22)."""

import logging
import socket
import struct

import pytest

from tests.http_server.served import Served, descriptors, request
from tests.waiting import eventually

pytestmark = pytest.mark.integration

RESET = struct.pack("ii", 1, 0)
LEAVING = {
    "before-a-byte": b"",
    "in-a-head": b"GET / HTTP/1.1\r\nX: ",
    "in-a-body": request("POST", "/", "Content-Length: 100000") + b"abc",
    "in-a-trailer": request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\nX: ",
    "before-the-answer": request("GET", "/wait"),
    "in-a-long-answer": request("GET", "/large?200"),
    "with-60-requests": request("GET", "/large?1") * 60,
    "after-a-refusal": b"nonsense\r\n\r\n" + b"a" * 200_000,
}


@pytest.mark.parametrize("kind", LEAVING)
@pytest.mark.parametrize("way", ["closed", "reset"])
def test_a_client_that_leaves_is_forgotten_without_a_line_of_log(
    usual: Served, kind: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    usual.wait_until_free()
    before, failures = descriptors(), len(usual.app.failures)

    for _ in range(5):
        connection = usual.connect()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(LEAVING[kind])
        if way == "reset":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.__exit__(None, None, None)
    assert usual.is_alive()  # a later connection is accepted later
    usual.wait_until_free()

    eventually(lambda: descriptors() <= before, within=5)
    assert usual.app.failures[failures:] == []
    assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []


def test_the_application_learns_that_its_client_left(usual: Served) -> None:
    before = usual.app.left

    with usual.connect() as connection:
        connection.send(request("POST", "/", "Content-Length: 10") + b"abc")
    eventually(lambda: usual.app.left == before + 1, within=10)

    usual.wait_until_free()
