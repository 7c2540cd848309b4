"""The list of datasets: its rows, filters, order and pages."""

import pytest

from app.datasets.tables import VersionState
from app.web.formats import UNKNOWN
from tests.api.browser.browsers import Browser
from tests.web.datasets.cells import rows_below
from tests.web.datasets.worlds import HOSTILE, Datasets
from tests.web.jobs.pages import Document, opened
from tests.worlds.rows import Rows, a_job

PAGE = 50
STATE = "Ready 2 errors, 1 warning"


def names_on(page: Document) -> list[str]:
    return [link.text for link in page.all("a", class_="name")]


class TestRows:
    def test_a_row_has_the_facts_of_the_newest_version(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        counts = {"error": 2, "warning": 1, "info": 0}
        view = datasets.a_row("with-facts", finding_counts=counts, archive_bytes=4_100_000)
        rows = datasets.api.rows
        a_job(
            datasets.api.database,
            Rows(rows.user_id, rows.project_id, view["id"], view["version"]),
        )

        page = opened(browser, "/datasets?q=with-facts")

        (row,) = rows_below(page)
        assert row[:7] == ["with-facts", STATE, "detect", "4", "2", UNKNOWN, "2 circle, square"]
        assert row[7:10] == ["1", "1", "4.1 MB"]
        assert f"/jobs?dataset={view['id']}" in page.links

    def test_a_version_that_is_being_verified_shows_its_step(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        progress = {"step": "images", "done": 0.4}
        datasets.a_row("at-work", state=VersionState.VALIDATING, progress=progress, task=None)

        (row,) = rows_below(opened(browser, "/datasets?q=at-work"))

        assert row[1] == "Validating Checking each image with its labels"

    def test_hostile_class_names_are_text(self, browser: Browser, datasets: Datasets) -> None:
        datasets.a_row("hostile", first_classes=[HOSTILE])

        page = opened(browser, "/datasets?q=hostile")

        assert HOSTILE in page.text
        assert not [each for each in page.all("script") if "alert" in each.text]

    def test_a_script_gets_the_rows_alone(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.a_row("alone")
        asked = {"Accept": "text/html", "HX-Request": "true"}

        answer = browser.client.get("/datasets?q=alone", headers=asked)

        assert answer.text.strip().startswith(f'<table><tbody><tr id="{view["id"]}"')


class TestFilters:
    def test_the_address_selects_datasets(self, browser: Browser, datasets: Datasets) -> None:
        datasets.a_row("find-me", task="pose")
        datasets.a_row("find-another")

        page = opened(browser, "/datasets?q=find&task=pose&state=ready")

        assert names_on(page) == ["find-me"]
        assert page.one("input", id="q").attributes["value"] == "find"
        (task,) = [each for each in page.all("option") if "selected" in each.attributes]
        assert task.text == "pose"

    def test_other_states_keep_the_other_filters(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        datasets.a_row("keeps")

        page = opened(browser, "/datasets?q=keeps&task=detect&sort=name")

        assert "/datasets?q=keeps&task=detect&sort=name&state=invalid" in page.links

    def test_states_have_the_numbers_under_the_other_filters(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        datasets.a_row("counted-one")
        datasets.a_row("counted-two", state=VersionState.INVALID)

        page = opened(browser, "/datasets?q=counted")

        states = " ".join(page.one("nav", aria_label="State").text.split())
        assert states == "AllReady 1Validating 0Invalid 1"

    def test_without_a_hit_it_offers_to_clear_the_filters(self, browser: Browser) -> None:
        page = opened(browser, "/datasets?q=nothing-is-called-this")

        assert "No dataset matches" in page.text
        assert "/datasets" in page.links

    @pytest.mark.parametrize("query", ["state=odd", "sort=size", "q=%00", "cursor=x"])
    def test_a_filter_that_the_api_refuses_is_an_error_page(
        self, browser: Browser, query: str
    ) -> None:
        answer = browser.client.get(f"/datasets?{query}", headers={"Accept": "text/html"})

        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"].startswith("text/html")


class TestOrder:
    def test_a_head_turns_the_order_around(self, browser: Browser, datasets: Datasets) -> None:
        datasets.a_row("order-b")
        datasets.a_row("order-a")

        page = opened(browser, "/datasets?q=order&sort=name")

        assert names_on(page) == ["order-a", "order-b"]
        assert page.one("th", aria_sort="ascending").text == "Name"
        assert "/datasets?q=order&sort=-name" in page.links

    def test_more_than_a_page_are_listed_by_the_next_one(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        for number in range(PAGE + 1):
            datasets.a_row(f"leaf {number:02d}")

        first = opened(browser, "/datasets?q=leaf&sort=name")
        (following,) = [each for each in first.links if "cursor=" in each]
        second = opened(browser, following)

        assert len(names_on(first)) == PAGE
        assert names_on(second) == [f"leaf {PAGE:02d}"]
