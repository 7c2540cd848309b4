"""Slots, the queue and models as pages."""

from pathlib import Path

import pytest

from tests.api.browser.browsers import Browser, signed_in
from tests.jobs.slots import a_slot
from tests.web.jobs.pages import opened, submitted
from tests.worlds.rows import a_job
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite


class TestNoWorkers:
    def test_an_instance_without_workers_says_what_waits(
        self, database_url: str, tmp_path: Path
    ) -> None:
        for api in serving(on(database_url, tmp_path / "home")):
            page = opened(signed_in(api), "/workers")

        assert "No worker has registered" in page.text
        assert "trainyard worker --slots" in page.text


class TestWorkers:
    def test_a_slot_is_shown_with_its_state_in_words(
        self, browser: Browser, shared_api: Api
    ) -> None:
        a_slot(shared_api.database, "night-shift")

        page = opened(browser, "/workers")

        assert "night-shift" in page.text
        assert "Live" in page.text

    def test_a_slot_is_cordoned_and_uncordoned_by_buttons(
        self, browser: Browser, shared_api: Api
    ) -> None:
        slot = a_slot(shared_api.database, "cordoned-by-a-button")

        sent = submitted(browser, f"/workers/{slot}/cordon")

        assert (sent.status, sent.location) == (303, "/workers")
        assert f"/workers/{slot}/uncordon" in opened(browser, "/workers").source

    def test_a_slot_that_does_not_exist_is_told_at_the_top(self, browser: Browser) -> None:
        sent = submitted(browser, "/workers/wrk_none/drain")

        assert sent.status == 404
        assert sent.page.all("div", role="alert") != []


class TestQueue:
    def test_a_waiting_job_has_its_reason_in_words(self, browser: Browser, shared_api: Api) -> None:
        a_job(shared_api.database, shared_api.rows, name="patient", queue="nobody-serves-it")

        page = opened(browser, "/workers?queue=nobody-serves-it")

        assert "patient" in page.text
        assert "no live slot serves queue nobody-serves-it" in page.text

    def test_a_priority_is_raised_by_one(self, browser: Browser, shared_api: Api) -> None:
        job = a_job(shared_api.database, shared_api.rows, name="urgent", queue="raised")

        sent = submitted(browser, "/queue/raise", job=job, queue="raised")

        assert (sent.status, sent.location) == (303, "/workers?queue=raised")
        assert browser.client.get(f"/v1/jobs/{job}").json()["priority"] == 1


class TestModels:
    def test_architectures_can_be_chosen_for_a_job(self, browser: Browser) -> None:
        page = opened(browser, "/models?task=detect")

        assert "yolo26n.yaml" in page.text
        assert "/jobs/new?model=yolo26n.yaml" in page.links

    def test_a_task_that_does_not_exist_is_an_error_page(self, browser: Browser) -> None:
        page = opened(browser, "/models?task=nonsense", status=422)

        assert "query/task" in page.text
