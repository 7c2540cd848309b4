"""Servers for tests on sockets: one with usual limits, and one that is patient for 0.4 s."""

from collections.abc import Iterator

import pytest

from tests.http_server.served import SHORT, Served, served


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("usual") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with short deadlines; every test leaves it without connections."""
    with served(tmp_path_factory.mktemp("hasty") / "home", limits=SHORT) as running:
        yield running
