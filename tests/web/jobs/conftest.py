"""A browser of the first user, and jobs that several tests read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.browser.browsers import Browser, signed_in
from tests.web.jobs.trained_jobs import Training, a_failed_job, a_succeeded_job
from tests.worlds.server import Api, on, serving


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of a module."""
    home = tmp_path_factory.mktemp("pages") / "home"
    yield from serving(on(module_database_url, home))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return signed_in(api)


@pytest.fixture(scope="module")
def succeeded(api: Api, folder: Path) -> Training:
    return a_succeeded_job(api, folder)


@pytest.fixture(scope="module")
def failed(api: Api, folder: Path) -> Training:
    return a_failed_job(api, folder)
