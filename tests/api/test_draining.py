"""A server that is asked to stop reports it, finishes open requests, and exits with 0 in time."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.server import DRAIN_SECONDS, GRACEFUL_SHUTDOWN_SECONDS
from tests.api.raw_client import read_answer
from tests.waiting import eventually
from tests.worlds.server import Server, a_server, status_of

CONTAINER_STOP_SECONDS = 10
BODY = b"no zip " * 1000


@pytest.fixture
def server(tmp_path: Path, migrated_at: Callable[[Path], str]) -> Iterator[Server]:
    home = tmp_path / "home"
    with a_server(home, migrated_at(home / "trainyard.db")) as server:
        yield server


@contextmanager
def half_an_upload(server: Server) -> Iterator[socket.socket]:
    """An upload of `BODY` whose second half has not been sent yet."""
    place = urlsplit(server.url)
    head = [
        "POST /v1/datasets?name=slow HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {server.key}",
        "Content-Type: application/zip",
        f"Content-Length: {len(BODY)}",
    ]
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + BODY[: len(BODY) // 2])
        spool = server.home / "spool"
        eventually(lambda: any(spool.rglob("*")), within=20, message="nothing arrived")
        yield connection


class TestSigterm:
    @pytest.mark.slow
    def test_a_running_upload_is_answered_while_readiness_says_503(self, server: Server) -> None:
        url = server.url
        assert status_of(f"{url}/readyz") == 200

        with half_an_upload(server) as upload:
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: status_of(f"{url}/readyz") == 503, within=5)
            alive = status_of(f"{url}/livez")
            upload.sendall(BODY[len(BODY) // 2 :])
            answer = read_answer(upload, has_body=True)

        assert alive == 200
        assert answer.status == 202
        assert server.process.wait(CONTAINER_STOP_SECONDS) == 0
        assert not server.note.exists()

    def test_an_idle_server_ends_at_once(self, server: Server) -> None:
        began = time.monotonic()

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(CONTAINER_STOP_SECONDS) == 0
        assert time.monotonic() - began < DRAIN_SECONDS

    @pytest.mark.slow
    def test_an_upload_that_never_ends_does_not_hold_up_a_draining_server(
        self, server: Server
    ) -> None:
        assert DRAIN_SECONDS + GRACEFUL_SHUTDOWN_SECONDS < CONTAINER_STOP_SECONDS

        with half_an_upload(server):
            server.process.send_signal(signal.SIGTERM)

            assert server.process.wait(2 * CONTAINER_STOP_SECONDS) == 0
