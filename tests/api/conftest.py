"""A server in this process on an empty database, with a key and a ready dataset."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.worlds.server import Api, on, serving


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return on(database_url, tmp_path / "home")


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """A new server for each test."""
    yield from serving(settings)


@pytest.fixture(scope="module")
def shared_api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of a module, for requests that leave no state behind."""
    home = tmp_path_factory.mktemp("shared") / "home"
    yield from serving(on(module_database_url, home))
