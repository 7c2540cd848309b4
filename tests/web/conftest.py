"""A server in this process, and a browser that is signed in as its first user."""

from collections.abc import Iterator

import pytest

from tests.api.browser.browsers import Browser, signed_in
from tests.worlds.server import Api, on, serving


@pytest.fixture(scope="module")
def shared_api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of a module."""
    yield from serving(on(module_database_url, tmp_path_factory.mktemp("web") / "home"))


@pytest.fixture(scope="module")
def browser(shared_api: Api) -> Browser:
    """A browser of the first user, an administrator."""
    return signed_in(shared_api)
