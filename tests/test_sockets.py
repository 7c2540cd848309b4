"""Tests of the guard in conftest.py: no test connects to another machine."""

import socket

import pytest


class TestSocketGuard:
    @pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "example.com"])
    def test_the_socket_guard_refuses_another_machine(self, address: str) -> None:
        with (
            socket.socket() as connection,
            pytest.raises(pytest.fail.Exception, match="loopback only"),
        ):
            connection.connect((address, 80))

    def test_the_socket_guard_lets_loopback_through(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as connection:
            connection.connect(server.getsockname())

            assert connection.getpeername() == server.getsockname()
