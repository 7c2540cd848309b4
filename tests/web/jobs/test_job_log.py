"""The log of a job: its lines, a search, and what a script that follows it reads."""

from pathlib import Path

import pytest

from app.web.jobs.one_job.log_lines import level_of
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened
from tests.web.jobs.trained_jobs import Training, a_training
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

LONG = "".join(f"line {number}\n" for number in range(1, 2502))


def lines(page: Document) -> dict[str, str]:
    """Return the lines by their anchor, with their number."""
    return {
        each.attributes["id"]: each.text
        for each in page.all("p")
        if each.attributes.get("id", "").startswith("L")
    }


@pytest.fixture(scope="module")
def running(api: Api, folder: Path) -> Training:
    training = a_training(api, folder)
    training.start()
    training.log(LONG)
    return training


class TestLog:
    def test_lines_can_be_linked_and_errors_have_a_colour(
        self, browser: Browser, failed: Training
    ) -> None:
        page = opened(browser, f"{failed.path}/log")

        assert list(lines(page)) == ["L1", "L2", "L3", "L4"]
        assert "#L4" in page.links
        assert [each.text for each in page.all("span", class_="e")] == [
            "worker.trainer.errors.Diverged: Losses stayed NaN."
        ]
        assert [each.text for each in page.all("span", class_="w")] == [
            "WARNING a warning of the trainer"
        ]

    def test_hostile_lines_are_text(self, browser: Browser, failed: Training) -> None:
        page = opened(browser, f"{failed.path}/log")

        assert lines(page)["L3"] == "3<script>alert(1)</script>"

    def test_the_last_2000_lines_are_shown_with_a_way_to_the_others(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, f"{running.path}/log")

        shown = lines(page)
        assert (len(shown), next(iter(shown)), list(shown)[-1]) == (2000, "L502", "L2501")
        assert "Lines 502 to 2,501 of 2,501." in page.text
        assert f"{running.path}/log?attempt=1&from=1" in page.links

    def test_an_address_shows_the_lines_around_one(
        self, browser: Browser, running: Training
    ) -> None:
        shown = lines(opened(browser, f"{running.path}/log?line=3"))

        assert (next(iter(shown)), len(shown)) == ("L1", 2000)

    def test_a_search_finds_lines_of_the_whole_attempt(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, f"{running.path}/log?q=LINE+250")

        assert list(lines(page)) == ["L250", "L2500", "L2501"]
        assert page.one("input", name="q").attributes["value"] == "LINE 250"
        assert f"{running.path}/log?attempt=1&line=250#L250" in page.links

    def test_a_search_with_many_matches_goes_on(self, browser: Browser, running: Training) -> None:
        page = opened(browser, f"{running.path}/log?q=line")

        assert len(lines(page)) == 200
        assert f"{running.path}/log?q=line&from=201" in page.links

    def test_a_search_without_a_match_says_so(self, browser: Browser, running: Training) -> None:
        page = opened(browser, f"{running.path}/log?q=%3Cb%3E")

        assert "No lines with “<b>”." in page.text

    def test_a_running_attempt_can_be_followed_and_an_ended_one_not(
        self, browser: Browser, running: Training, failed: Training
    ) -> None:
        assert opened(browser, f"{running.path}/log").all("input", id="follow-log")
        assert not opened(browser, f"{failed.path}/log").all("input", id="follow-log")

    def test_a_script_reads_only_the_lines_from_one_on(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, f"{running.path}/log?attempt=1&after=2500")

        assert lines(page) == {"L2500": "2500line 2500", "L2501": "2501line 2501"}
        assert page.all("h1") == []

    def test_an_earlier_attempt_has_its_own_log(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/log?attempt=1")

        options = page.all("option")
        assert [each.text for each in options] == ["2", "1"]
        assert [each.text for each in options if "selected" in each.attributes] == ["1"]

    def test_a_job_that_no_worker_has_taken_has_no_log(self, browser: Browser, api: Api) -> None:
        job = api.submit(resources={"queue": "night"})

        page = opened(browser, f"/jobs/{job['id']}/log")

        assert "The log begins when a worker has taken the job." in page.text

    def test_an_attempt_that_does_not_exist_is_no_page(
        self, browser: Browser, failed: Training
    ) -> None:
        opened(browser, f"{failed.path}/log?attempt=9", status=404)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ValueError: no images", "e"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "e"),
        ("Traceback (most recent call last):", "e"),
        ("ERROR cannot open", "e"),
        ("WARNING ⚠️ slow image access", "w"),
        ("/lib/x.py:3: UserWarning: deprecated", "w"),
        ("train: 60 images, 0 backgrounds, 0 corrupt", ""),
        ("      Epoch    GPU_mem   box_loss", ""),
        ("Logging results to run", ""),
    ],
)
def test_a_line_is_coloured_by_its_words(text: str, level: str) -> None:
    assert level_of(text) == level
