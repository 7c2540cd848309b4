"""The events, attempts and plan of a job."""

from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import delete

from app.events.tables import Level
from app.jobs.end_reasons import EndReason
from app.jobs.guards import TRANSITIONS
from app.jobs.tables import JobPlan
from app.web.jobs.one_job.event_words import EVENTS, REASONS, title_of
from app.web.jobs.one_job.history import ShownEvent, strip_of, with_epochs
from app.webhooks.event_types import EventChoice
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened
from tests.web.jobs.trained_jobs import Training, a_training
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


METRICS: Final[dict[str, Any]] = {
    "epochs": [1, 2, 3],
    "ended_at": [f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 5)],
    "seconds": [1.0, 2.0, 5.0],
    "series": {},
}


def titles(page: Document) -> list[str]:
    """Return the titles of the events, in order."""
    return [each.text for each in page.all("span", class_="type")]


class TestEvents:
    def test_the_newest_event_is_first_and_epochs_are_folded(
        self, browser: Browser, succeeded: Training
    ) -> None:
        shown = titles(opened(browser, f"{succeeded.path}/events"))

        assert shown[:2] == ["Succeeded", "Epochs 3 to 4"]
        assert shown[-4:] == ["Epochs 1 to 2", "Training began", "Started", "Submitted"]
        assert {"Epochs dropped", "Goes on exactly", "Queued again"} <= {*shown}
        assert {"Layers unfrozen", "Metric not finite"} <= {*shown}

    def test_each_epoch_is_shown_on_request(self, browser: Browser, succeeded: Training) -> None:
        shown = titles(opened(browser, f"{succeeded.path}/events?show=epochs"))

        assert [each for each in shown if each.startswith("Epoch ")] == [
            "Epoch 4",
            "Epoch 3",
            "Epoch 3",
            "Epoch 2",
            "Epoch 1",
        ]

    def test_warnings_can_be_shown_alone(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, f"{succeeded.path}/events?show=warnings")

        assert titles(page) == ["Metric not finite"]
        assert page.one("a", aria_current="true").text == "Warnings"

    def test_more_events_than_a_page_has_lead_to_older_ones(
        self, browser: Browser, api: Api, folder: Path
    ) -> None:
        training = a_training(api, folder)
        for number in range(201):
            training.event("trainer.notice", code="a_notice", message=f"notice {number}")

        page = opened(browser, f"{training.path}/events")
        (older,) = [each for each in page.all("a") if each.text == "Older events"]
        following = opened(browser, older.attributes["href"])

        assert len(titles(page)) == 200
        assert titles(following) == ["A notice", "Started", "Submitted"]

    def test_every_type_of_event_has_words_and_a_shape(self) -> None:
        chosen = {each.value for each in EventChoice if not each.value.endswith("*")}
        logged = {row.logged_as for row in TRANSITIONS if row.logged_as}
        others = {"epoch.finished", *(each for each in chosen if each.startswith("dataset."))}

        assert (chosen | logged) - others <= EVENTS.keys()

    def test_every_end_reason_has_words(self) -> None:
        assert {reason.value for reason in EndReason} == REASONS.keys()

    def test_an_unknown_type_is_shown_by_its_name(self) -> None:
        assert title_of("job.new_type", {}) == "New type"

    def test_hostile_messages_are_text(self, browser: Browser, api: Api, folder: Path) -> None:
        training = a_training(api, folder)
        training.event("trainer.warning", Level.WARNING, code="x", message="<img src=x>")

        page = opened(browser, f"{training.path}/events")

        assert page.all("img") == []
        assert "<img src=x>" in page.text


class TestAttempts:
    def test_an_attempt_says_where_it_began_and_why_it_ended(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/events")

        texts = [each.text for each in page.all("td")]
        assert "1 to 3" in texts
        assert texts.count("the start") == 1
        assert "the worker was lost" in texts
        assert "training state of epoch 2, exactly; 1 epoch trained again" in texts

    def test_the_strip_is_to_scale_with_the_waits(self) -> None:
        attempts = [
            {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:00Z"},
            {"started_at": "2026-01-01T00:01:30Z", "ended_at": "2026-01-01T00:02:00Z"},
        ]

        wait, first, second = strip_of(attempts)

        assert (wait.x, wait.width, wait.is_attempt) == (500, 250, False)
        assert (first.x, first.width) == (0, 500)
        assert (second.x, second.width) == (750, 250)

    def test_an_attempt_of_no_length_can_be_seen(self) -> None:
        at = "2026-01-01T00:00:00Z"

        (only,) = strip_of([{"started_at": at, "ended_at": at}])

        assert only.width > 0


class TestFolding:
    def test_a_page_in_the_middle_has_the_epochs_between_its_events_and_the_page_before(
        self,
    ) -> None:
        event = ShownEvent("2026-01-01T00:00:03Z", "Something", "")

        found = with_epochs([event], METRICS, None, before="2026-01-01T00:00:06Z", is_oldest=False)

        assert [each.title for each in found] == ["Epoch 3", "Something"]

    def test_the_last_page_has_the_epochs_before_its_events(self) -> None:
        event = ShownEvent("2026-01-01T00:00:03Z", "Something", "")

        found = with_epochs([event], METRICS, None, before="2026-01-01T00:00:04Z", is_oldest=True)

        assert [each.title for each in found] == ["Something", "Epochs 1 to 2"]


class TestPlan:
    def test_layers_have_bars_with_the_same_in_words(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/plan")

        bars = page.all("svg", class_="gantt")
        assert bars[0].attributes["aria-label"] == (
            "frozen to epoch 1, then learns at 0.25 of the rate"
        )
        assert bars[-1].attributes["aria-label"] == "learns at 1 of the rate"
        frozen = page.all("rect", class_="ice")
        assert {each.attributes["width"] for each in frozen} == {"25.0%"}

    def test_classes_optimizer_and_extent_are_shown(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/plan")

        assert {"circle", "square"} <= {each.text for each in page.all("th", scope="row")}
        assert "AdamW" in {each.text for each in page.all("dd")}
        assert "Learning at the start" in {each.text for each in page.all("dt")}
        assert "Factor after unfreezing." in page.text

    def test_the_rates_of_every_epoch_are_in_the_page(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/plan")

        assert '"epochs": [1, 2, 3, 4]' in page.one("script", id="rates").text

    def test_a_job_without_a_plan_says_so(self, browser: Browser, api: Api, folder: Path) -> None:

        training = a_training(api, folder)
        with api.database.write() as unit:
            unit.session.execute(delete(JobPlan).where(JobPlan.job_id == training.hold.job_id))

        page = opened(browser, f"{training.path}/plan")

        assert "Jobs from before there were plans have none." in page.text
