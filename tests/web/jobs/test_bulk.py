"""One action on several jobs of the list: what is done, what is refused, and the way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.states import JobState
from tests.api.browser.browsers import Browser, a_browser, signed_in
from tests.web.jobs.pages import submitted
from tests.worlds.rows import a_job, job_row
from tests.worlds.server import Api, serving_alone


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    yield from serving_alone(sqlite_template, tmp_path_factory.mktemp("bulk"))


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return signed_in(api)


def jobs(api: Api, *states: JobState) -> list[str]:
    return [a_job(api.database, api.rows, name=f"a {each}", state=each) for each in states]


def state_of(api: Api, job: str) -> JobState:
    return job_row(api.database, job).state


QUEUED, PAUSED, FAILED = JobState.QUEUED, JobState.PAUSED, JobState.FAILED


class TestActions:
    def test_all_are_changed_and_the_list_is_shown_as_it_was(
        self, api: Api, browser: Browser
    ) -> None:
        chosen = jobs(api, QUEUED, QUEUED)

        sent = submitted(browser, "/jobs/bulk", do="pause", jobs=chosen, view="state=queued&q=a")

        assert (sent.status, sent.location) == (303, "/jobs?state=queued&q=a")
        assert [state_of(api, job) for job in chosen] == [PAUSED, PAUSED]

    def test_those_that_refuse_are_listed_with_the_reason(self, api: Api, browser: Browser) -> None:
        queued, failed = jobs(api, QUEUED, FAILED)

        sent = submitted(browser, "/jobs/bulk", do="pause", jobs=[queued, failed], view="q=a")

        note = sent.page.one("div", class_="note")
        assert sent.status == 200
        assert "1 of 2 jobs was not paused." in " ".join(note.text.split())
        assert "a failed: " in note.text
        assert sent.page.one("input", id="q").attributes["value"] == "a"
        assert state_of(api, queued) is PAUSED

    def test_a_refusal_by_all_is_an_error(self, api: Api, browser: Browser) -> None:
        sent = submitted(browser, "/jobs/bulk", do="resume", jobs=jobs(api, FAILED))

        assert sent.status == 409

    def test_a_job_goes_to_the_trash_and_comes_back_by_its_row(
        self, api: Api, browser: Browser
    ) -> None:
        [job] = jobs(api, FAILED)

        submitted(browser, "/jobs/bulk", do="delete", jobs=[job])
        is_trashed = job_row(api.database, job).trashed_at is not None
        sent = submitted(browser, "/jobs/bulk", restore=job, view="trashed=true")

        assert is_trashed
        assert (sent.status, sent.location) == (303, "/jobs?trashed=true")
        assert job_row(api.database, job).trashed_at is None

    def test_a_row_that_is_no_longer_in_the_trash_is_told(self, api: Api, browser: Browser) -> None:
        [job] = jobs(api, FAILED)

        sent = submitted(browser, "/jobs/bulk", restore=job, view="trashed=true")

        assert sent.status == 409
        assert "1 of 1 jobs was not restored." in sent.page.text


class TestCancel:
    def test_a_confirmation_is_asked_first(self, api: Api, browser: Browser) -> None:
        chosen = jobs(api, QUEUED, PAUSED)

        sent = submitted(browser, "/jobs/bulk", do="cancel", jobs=chosen, view="state=queued")

        assert sent.status == 200
        assert sent.page.one("h1").text == "Cancel 2 jobs?"
        assert [each.attributes["value"] for each in sent.page.all("input", name_="jobs")] == chosen
        assert "/jobs?state=queued" in sent.page.links
        assert [state_of(api, job) for job in chosen] == [QUEUED, PAUSED]

    def test_the_answer_yes_cancels(self, api: Api, browser: Browser) -> None:
        chosen = jobs(api, QUEUED, PAUSED)

        sent = submitted(browser, "/jobs/bulk", do="cancel", jobs=chosen, confirmed="yes")

        assert (sent.status, sent.location) == (303, "/jobs")
        assert [state_of(api, job) for job in chosen] == [JobState.CANCELLED] * 2


class TestWrongForms:
    def test_without_a_job_it_says_how_to_select_one(self, browser: Browser) -> None:
        sent = submitted(browser, "/jobs/bulk", do="pause", view="sort=name")

        assert sent.status == 422
        assert "No job is selected." in sent.page.text

    def test_an_unknown_action_is_refused(self, api: Api, browser: Browser) -> None:
        sent = submitted(browser, "/jobs/bulk", do="explode", jobs=jobs(api, QUEUED))

        assert sent.status == 422

    def test_an_id_that_is_none_is_told(self, browser: Browser) -> None:
        sent = submitted(browser, "/jobs/bulk", do="pause", jobs=["<script>"])

        assert sent.status == 404
        assert "<script>" in sent.page.one("div", class_="note").text

    def test_another_site_cannot_send_it(self, api: Api, browser: Browser) -> None:
        [job] = jobs(api, QUEUED)

        answer = browser.client.post(
            "/jobs/bulk",
            data={"do": "pause", "jobs": job},
            headers={"Sec-Fetch-Site": "cross-site"},
        )

        assert answer.status_code == 403
        assert state_of(api, job) is QUEUED

    def test_a_stranger_changes_nothing(self, api: Api) -> None:
        [job] = jobs(api, QUEUED)

        sent = submitted(a_browser(api), "/jobs/bulk", do="pause", jobs=[job])

        assert sent.status == 401
        assert state_of(api, job) is QUEUED
