"""A server with verified datasets, and a browser that is signed in as its first user."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.browser.browsers import Browser, signed_in
from tests.web.datasets.worlds import Datasets
from tests.worlds.server import Api, serving_alone


@pytest.fixture(scope="session")
def datasets_api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of these pages; tests that change a dataset make their own."""
    yield from serving_alone(sqlite_template, tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="session")
def datasets(datasets_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    """Datasets of this server, each verified when a test first asks for it."""
    return Datasets(datasets_api, tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="session")
def browser(datasets_api: Api) -> Browser:
    """A browser of the first user, an administrator."""
    return signed_in(datasets_api)
