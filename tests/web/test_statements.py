"""How often each page asks the database: a number that is known, and that lists do not raise."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.api.asked import Asked, sql_on
from tests.api.browser.browsers import Browser, signed_in
from tests.jobs.slots import a_slot
from tests.web.datasets.worlds import Datasets
from tests.web.jobs.pages import opened
from tests.web.jobs.trained_jobs import Training, a_failed_job, a_succeeded_job, a_training
from tests.worlds.server import Api, serving_alone

pytestmark = pytest.mark.integration

STATEMENTS: Final[Mapping[str, int]] = {
    "/jobs": 15,
    "/jobs?trashed=true": 7,
    "{job}": 21,
    "{job}/plan": 16,
    "{job}/images": 20,
    "{job}/log": 17,
    "{job}/events": 22,
    "{job}/files": 15,
    "{job}/spec": 15,
    "{running}": 18,
    "{failed}": 23,
    "/jobs/compare?jobs={both}": 15,
    "/jobs/new": 7,
    "/datasets": 5,
    "/datasets/new": 3,
    "{dataset}": 8,
    "{dataset}/samples": 7,
    "{dataset}/findings": 6,
    "{dataset}/statistics": 8,
    "{dataset}/duplicates": 6,
    "{dataset}/versions": 8,
    "/workers": 14,
    "/models": 3,
    "/access/keys": 2,
    "/access/users": 3,
    "/access/projects": 3,
    "/access/webhooks": 3,
    "/access/audit": 4,
    "/account": 3,
}
"""Statements of each page, without those that look up the session."""


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    yield from serving_alone(sqlite_template, tmp_path_factory.mktemp("statements"))


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return signed_in(api)


@pytest.fixture(scope="module")
def places(api: Api, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of jobs and of a dataset."""
    folder = tmp_path_factory.mktemp("files")
    job, failed = a_succeeded_job(api, folder), a_failed_job(api, folder)
    running: Training = a_training(api, folder)
    running.start()
    running.epoch(1)
    running.progress(2, 4, 9, 125.0)
    a_slot(api.database, "gpu-a")
    api.submit(name="waits for a slot")
    return {
        "job": job.path,
        "failed": failed.path,
        "running": running.path,
        "both": f"{job.hold.job_id},{failed.hold.job_id}",
        "dataset": f"/datasets/{Datasets(api, folder).boxes['id']}",
    }


def without_begin(asked: Asked) -> list[str]:
    return [each for each in asked.statements if each != "BEGIN"]


@pytest.mark.parametrize(("path", "count"), STATEMENTS.items(), ids=STATEMENTS)
def test_a_page_asks_the_database_no_more_often_than_it_needs(
    api: Api, browser: Browser, places: dict[str, str], path: str, count: int
) -> None:
    opened(browser, path.format_map(places))  # fills what the server keeps between requests

    with sql_on(api.database) as asked:
        opened(browser, path.format_map(places))

    assert len(without_begin(asked)) == count, asked.statements
    assert asked.writes == 0


@pytest.mark.parametrize("path", ["/jobs", "/datasets", "/workers", "/access/projects"])
def test_more_rows_need_no_more_statements(
    api: Api, browser: Browser, places: dict[str, str], path: str
) -> None:
    assert places
    counts = []
    for number in range(3):
        api.submit(name=f"more-{number}")
        a_slot(api.database, f"more-{number}")
        opened(browser, path)
        with sql_on(api.database) as asked:
            opened(browser, path)
        counts.append(len(without_begin(asked)))

    assert counts[0] == counts[-1], asked.statements
