"""A server that is told to stop says so, finishes what it is at, and ends in time with 0."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from app.core.migrations import upgrade
from app.server import DRAIN_SECONDS, GRACEFUL_SHUTDOWN_SECONDS
from tests.api.raw_client import read_answer
from tests.api.server_process import ServerProcess, a_server_process
from tests.waiting import eventually

CONTAINER_STOP_SECONDS = 10
BODY = b"no zip " * 1000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(home: Path) -> Iterator[ServerProcess]:
    url = f"sqlite:///{home}/trainyard.db"
    upgrade(url)
    with a_server_process(home, url) as server:
        yield server


@contextmanager
def half_an_upload(server: ServerProcess, home: Path) -> Iterator[socket.socket]:
    """An upload of `BODY` whose second half has not been sent yet."""
    place = urlsplit(server.url)
    head = [
        "POST /v1/datasets?name=slow HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {(home / 'api-key').read_text().strip()}",
        "Content-Type: application/zip",
        f"Content-Length: {len(BODY)}",
    ]
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + BODY[: len(BODY) // 2])
        spool = home / "spool"
        eventually(lambda: any(spool.rglob("*")), within=20, message="nothing arrived")
        yield connection


def status_of(url: str) -> int | None:
    """The status of an answer; None without an answer."""
    try:
        with urlopen(Request(url), timeout=10) as answer:
            status: int = answer.status
            return status
    except HTTPError as error:
        return error.code
    except (URLError, ConnectionError):
        return None


class TestSigterm:
    def test_a_running_upload_is_answered_while_readiness_says_503(
        self, server: ServerProcess, home: Path
    ) -> None:
        assert status_of(f"{server.url}/readyz") == 200

        with half_an_upload(server, home) as upload:
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: status_of(f"{server.url}/readyz") == 503, within=5)
            alive = status_of(f"{server.url}/livez")
            upload.sendall(BODY[len(BODY) // 2 :])
            answer = read_answer(upload, has_body=True)

        assert alive == 200
        assert answer.status == 202
        assert server.process.wait(CONTAINER_STOP_SECONDS) == 0
        assert not (home / "server.json").exists()

    def test_an_idle_server_ends_at_once(self, server: ServerProcess) -> None:
        began = time.monotonic()

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(CONTAINER_STOP_SECONDS) == 0
        assert time.monotonic() - began < DRAIN_SECONDS

    def test_an_upload_that_never_ends_does_not_hold_up_a_draining_server(
        self, server: ServerProcess, home: Path
    ) -> None:
        assert DRAIN_SECONDS + GRACEFUL_SHUTDOWN_SECONDS < CONTAINER_STOP_SECONDS

        with half_an_upload(server, home):
            server.process.send_signal(signal.SIGTERM)

            assert server.process.wait(2 * CONTAINER_STOP_SECONDS) == 0
