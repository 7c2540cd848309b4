"""The comparison of jobs."""

import json
from pathlib import Path

import pytest

from app.web.formats import TIMES, UNKNOWN
from app.web.jobs.compare_classes import class_values
from app.web.jobs.compare_table import compare_table
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened
from tests.web.jobs.trained_jobs import CUSTOMIZED, Training, a_succeeded_job
from tests.worlds.rows import NO_JOB
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture(scope="module")
def other(api: Api, folder: Path, succeeded: Training) -> Training:
    """A job that differs in its learning rate and its layers."""
    return a_succeeded_job(
        api,
        folder,
        name="cells-fast",
        train={**CUSTOMIZED["train"], "lr0": 0.02},
        customize={name: of for name, of in CUSTOMIZED["customize"].items() if name != "layer_lrs"},
        resources={"queue": succeeded.queue},
    )


@pytest.fixture(scope="module")
def both(succeeded: Training, other: Training) -> str:
    """The address that compares the two jobs."""
    return f"/jobs/compare?jobs={succeeded.hold.job_id},{other.hold.job_id}"


def columns(page: Document) -> list[str]:
    """Return the heads of the columns of the first table."""
    heads = [each.text for each in page.all("th", scope="col")]
    return heads[: heads.index("Class")] if "Class" in heads else heads


class TestDifferences:
    def test_only_arguments_that_differ_are_columns(self, browser: Browser, both: str) -> None:
        page = opened(browser, both)

        assert columns(page) == [
            "Job",
            "State",
            "Best F1",
            "Epoch",
            "Took",
            "train.lr0",
            "layer_lrs",
        ]
        texts = [each.text for each in page.all("td", class_="mono")]
        assert texts == ["0.01", f"backbone {TIMES} 0.25", "0.02", UNKNOWN]

    def test_all_arguments_can_be_shown(self, browser: Browser, both: str) -> None:
        page = opened(browser, f"{both}&show=all")

        assert {"train.epochs", "model", "dataset", "freeze"} <= {*columns(page)}

    def test_jobs_have_keys_of_their_own_and_can_be_removed(
        self, browser: Browser, both: str, succeeded: Training, other: Training
    ) -> None:
        page = opened(browser, both)

        keys = [each.attributes["class"] for each in page.all("svg", class_="key")]
        assert keys[:2] == ["key k1", "key k2"]
        assert f"/jobs/compare?jobs={other.hold.job_id}" in page.links
        assert succeeded.path in page.links

    def test_equal_specs_have_no_columns(self, browser: Browser, succeeded: Training) -> None:
        job = browser.client.get(f"/v1{succeeded.path}").json()

        table = compare_table([job, job], {job["dataset_version"]: "shapes"}, all_=False)

        assert (table.columns, table.differing) == ([], 0)


class TestCurves:
    def test_the_page_has_the_curves_of_the_deciding_metric(
        self, browser: Browser, both: str, succeeded: Training
    ) -> None:
        page = opened(browser, both)

        data = json.loads(page.one("script", id="compared").text)
        curve = data["jobs"][succeeded.hold.job_id]
        assert curve["series"] == {"metrics/F1(B)": [0.1, 0.2, 0.3, 0.4]}
        assert page.one("h3").text == "F1"

    def test_another_metric_is_chosen_by_the_address(self, browser: Browser, both: str) -> None:
        page = opened(browser, f"{both}&metric=val/box_loss")

        (selected,) = [each for each in page.all("option") if "selected" in each.attributes]
        assert selected.text == "val/box_loss"
        assert page.one("h3").text == "box_loss"


class TestClasses:
    def test_the_highest_of_a_class_is_bold(self) -> None:
        first, second, third = class_values([0.2, None, 0.4])

        assert (first.is_top, second.is_top, third.is_top) == (False, False, True)

    def test_one_job_alone_has_no_highest(self) -> None:
        (only,) = class_values([0.2])

        assert not only.is_top

    def test_another_score_is_chosen_by_the_address(self, browser: Browser, both: str) -> None:
        page = opened(browser, f"{both}&score=f1")

        current = [each.text for each in page.all("a", aria_current="true")]
        assert current == ["Only what differs 2", "F1"]
        rows = [each.text for each in page.all("th", scope="row")]
        assert rows[-2:] == ["circle", "square"]


class TestChoice:
    def test_no_job_says_how_to_choose(self, browser: Browser) -> None:
        assert "Choose 2 to 20 jobs" in opened(browser, "/jobs/compare").text

    def test_jobs_that_cannot_be_seen_are_counted(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"/jobs/compare?jobs={succeeded.hold.job_id},{NO_JOB}")

        assert "1 of the jobs is not shown" in page.text
        assert page.one("h1").text == "Compare 1 job"

    def test_a_name_that_one_job_has_adds_it(
        self, browser: Browser, succeeded: Training, other: Training
    ) -> None:
        answer = browser.client.get(
            f"/jobs/compare?jobs={succeeded.hold.job_id}&add=cells-fast", follow_redirects=False
        )

        assert answer.status_code == 303
        wanted = f"jobs={succeeded.hold.job_id}%2C{other.hold.job_id}"
        assert answer.headers["location"] == f"/jobs/compare?{wanted}"

    def test_a_name_that_several_jobs_have_offers_them(
        self, browser: Browser, other: Training, succeeded: Training
    ) -> None:
        page = opened(browser, "/jobs/compare?add=cells")

        assert {f"/jobs/compare?jobs={each.hold.job_id}" for each in (other, succeeded)} <= (
            page.links
        )

    def test_a_name_that_no_job_has_is_shown_as_text(self, browser: Browser) -> None:
        page = opened(browser, "/jobs/compare?add=%3Cb%3Enone")

        assert "No other job has “<b>none” in its name, tags or id." in page.text

    def test_jobs_come_one_by_one_as_ticked_boxes_send_them(
        self, browser: Browser, succeeded: Training, other: Training
    ) -> None:
        page = opened(browser, f"/jobs/compare?job={succeeded.hold.job_id}&job={other.hold.job_id}")

        assert page.one("h1").text == "Compare 2 jobs"
