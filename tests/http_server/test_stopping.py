"""A server that stops aborts the requests that do not end, and reports them in one line."""

import logging
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app import server as server_module
from tests.http_server.served import request, served
from tests.waiting import eventually

pytestmark = pytest.mark.integration

HALF = request("POST", "/echo", body=b"x" * 100)[:-50]


def test_requests_that_do_not_end_are_aborted_with_one_warning_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "DRAIN_SECONDS", 0.1)

    with capture_logs() as lines, served(tmp_path / "home") as server:
        clients = [server.connect().send(HALF) for _ in range(2)]
        eventually(lambda: len(server.server.server_state.tasks) == 2, within=10)
        server.server.should_exit = True
        assert all(client.is_closed() for client in clients)

    aborted = [line for line in lines if line["event"] == "server.requests_aborted"]
    assert [(line["log_level"], line["requests"]) for line in aborted] == [("warning", 2)]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    for client in clients:
        client.__exit__(None, None, None)


def test_a_server_without_requests_stops_without_a_warning(tmp_path: Path) -> None:
    with capture_logs() as lines, served(tmp_path / "home") as server:
        assert server.is_alive()

    assert [line for line in lines if line["event"] == "server.requests_aborted"] == []
