"""The application in this process, and the client that examples use on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.server import Api, serving_alone
from trainyard import Client


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server without workers for the tests of a module."""
    yield from serving_alone(sqlite_template, tmp_path_factory.mktemp("examples"))


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    """The client of Trainyard; its requests reach the application without a network."""
    with Client("http://127.0.0.1", api.key) as client:
        own, client.driver._http = client.driver._http, api.client
        yield client
        client.driver._http = own
