"""The list of jobs: filters, order, groups, pages, the trash, and single rows."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.database import database_now
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobState
from app.web.jobs.list_query import ListQuery
from tests.api.browser.browsers import Browser, a_browser, signed_in
from tests.web.jobs.pages import Document, Element, opened
from tests.worlds.rows import Rows, a_dataset, a_job, insert_owner
from tests.worlds.server import Api, serving_alone

HOSTILE = "<script>alert(1)</script>\"'\u202e&amp;"
ENDED = {"started_at": database_now(), "ended_at": database_now()}
BEST = {"best_epoch": 2, "best_metric": "metrics/F1(B)", "best_value": 0.4321}


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    for running in serving_alone(sqlite_template, tmp_path_factory.mktemp("list")):
        fill(running)
        yield running


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return signed_in(api)


def fill(api: Api) -> None:
    """Add jobs in several states, two of them in the trash."""
    for name, columns in JOBS.items():
        a_job(api.database, api.rows, name=name, **columns)


JOBS: dict[str, dict[str, Any]] = {
    "night-shift": {"state": JobState.PAUSED},
    "waits": {},
    "good": {"state": JobState.SUCCEEDED, **ENDED, **BEST, "curve": [0.1, 0.4321]},
    "bad": {"state": JobState.FAILED, "end_reason": EndReason.DIVERGED, **ENDED},
    HOSTILE: {"state": JobState.CANCELLED, "end_reason": EndReason.CANCELLED, **ENDED},
    "old": {"state": JobState.CANCELLED, "trashed_at": database_now(), **ENDED},
    "older": {"state": JobState.SUCCEEDED, "trashed_at": database_now(-timedelta(days=5)), **ENDED},
}
OUTSIDE = [name for name, columns in JOBS.items() if "trashed_at" not in columns]


def rows_of(page: Document) -> list[Element]:
    return [row for row in page.all("tr") if row.attributes.get("id", "").startswith("job_")]


def names_of(page: Document) -> list[str]:
    return [link.text for link in page.all("a", class_="name")]


def href(page: Document, text: str) -> str:
    (found,) = {link.attributes["href"] for link in page.all("a") if link.text.strip() == text}
    return found


class TestList:
    def test_active_jobs_stand_above_ended_ones_the_newest_first(self, browser: Browser) -> None:
        page = opened(browser, "/jobs")

        groups = [row.text.strip() for row in page.all("tr", class_="group")]
        assert groups == ["Active", "Ended"]
        assert names_of(page) == ["waits", "night-shift", HOSTILE, "bad", "good"]

    def test_a_row_tells_state_reason_and_best(self, browser: Browser) -> None:
        page = opened(browser, "/jobs")

        said = {row.attributes["class"]: " ".join(row.text.split()) for row in rows_of(page)}
        assert "Failed diverged" in said["is-failed"]
        assert "0.432 F1, ep 2" in said["is-succeeded"]
        assert "no slot serves default" in said["is-queued"]

    def test_names_are_text(self, browser: Browser) -> None:
        page = opened(browser, "/jobs")

        assert "<script>alert" not in page.source
        box = page.one("input", aria_label=f"Select {HOSTILE}")
        assert box.attributes["name"] == "jobs"

    def test_a_page_tells_scripts_from_where_to_follow(self, browser: Browser) -> None:
        root = opened(browser, "/jobs").one("html")

        after = root.attributes["data-after"]
        news = browser.client.get("/v1/events", params={"after": after}).json()
        assert (news["data"], news["gap"]) == ([], False)
        assert root.attributes["data-user"] == "owner"

    def test_states_have_their_numbers_and_their_addresses(self, browser: Browser) -> None:
        page = opened(browser, "/jobs?q=good&sort=name")

        states = {
            each.text: each.attributes["href"]
            for each in page.all("a")
            if "state=" in each.attributes["href"]
        }
        assert states["Succeeded 1"] == "/jobs?q=good&sort=name&state=succeeded"
        assert href(page, "All 1") == "/jobs?q=good&sort=name"


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("state=failed", ["bad"]),
            ("state=failed&state=queued", ["waits", "bad"]),
            ("q=NIGHT", ["night-shift"]),
            ("model=yolo26n.yaml&state=paused", ["night-shift"]),
            ("ended_after=2020-01-01T00:00Z&state=succeeded", ["good"]),
            ("sort=name", [HOSTILE, "bad", "good", "night-shift", "waits"]),
        ],
    )
    def test_the_address_has_all_filters(
        self, browser: Browser, query: str, names: list[str]
    ) -> None:
        page = opened(browser, f"/jobs?{query}")

        assert names_of(page) == names

    def test_a_form_keeps_what_was_chosen(self, api: Api, browser: Browser) -> None:
        page = opened(browser, f"/jobs?state=failed&dataset={api.rows.dataset_id}&sort=-best&q=bad")

        chosen = {option.text for option in page.all("option", selected="")}
        assert {"shapes", "Best first"} <= chosen
        assert page.one("input", id="q").attributes["value"] == "bad"
        assert page.one("input", type="hidden", name_="state").attributes["value"] == "failed"
        marked = [each.text for each in page.all("a", aria_current="true")]
        assert marked == ["Failed 1"]

    def test_nothing_found_says_what_was_asked_for(self, browser: Browser) -> None:
        page = opened(browser, "/jobs?state=failed&q=pal")

        assert "No job is failed and named \u2018pal\u2019." in page.text
        assert href(page, "Clear filters") == "/jobs"

    @pytest.mark.parametrize(
        ("query", "said", "status"),
        [
            ("q=%2D", "words, tags", 422),
            ("state=lost", "queued, running", 422),
            ("sort=-best", "not comparable", 422),
            ("cursor=made-up", "cursor", 400),
            ("ended_after=yesterday", "a time with its zone", 422),
        ],
    )
    def test_what_the_api_refuses_is_told_above_the_filters(
        self, browser: Browser, query: str, said: str, status: int
    ) -> None:
        page = opened(browser, f"/jobs?{query}", status=status)

        assert said in page.one("div", id="refused").text
        assert page.one("input", id="q").attributes["name"] == "q"

    def test_several_filters_make_one_sentence(self) -> None:
        pairs = [("state", "failed"), ("state", "paused"), ("model", "m.pt"), ("dataset", "ds_1")]

        said = ListQuery.of([*pairs, ("trashed", "true")]).without_hit({"ds_1": "pallets"})

        assert said == (
            "No job is failed or paused, trained on pallets, based on m.pt and in the trash."
        )


class TestOrder:
    def test_heads_are_links_to_the_order_and_back(self, browser: Browser) -> None:
        usual, by_name = opened(browser, "/jobs"), opened(browser, "/jobs?sort=name")

        assert href(usual, "Name") == "/jobs?sort=name"
        assert href(usual, "Since") == "/jobs?sort=created"
        assert href(by_name, "Name") == "/jobs?sort=-name"
        assert href(by_name, "Since") == "/jobs"
        assert usual.one("th", aria_sort="descending").text == "Since"
        assert by_name.one("th", aria_sort="ascending").text == "Name"

    def test_best_is_an_order_of_one_dataset_only(self, api: Api, browser: Browser) -> None:
        all_jobs = opened(browser, "/jobs")
        of_one = opened(browser, f"/jobs?dataset={api.rows.dataset_id}")

        assert [each.text for each in all_jobs.all("th") if each.text == "Best"] == ["Best"]
        assert "Best" not in {link.text for link in all_jobs.all("a")}
        assert href(of_one, "Best").endswith("&sort=-best")
        assert all_jobs.one("option", value="-best").attributes["disabled"] == ""


class TestPages:
    @pytest.fixture
    def api(self, sqlite_template: Path, tmp_path: Path) -> Iterator[Api]:
        """A server of its own, because other tests read the whole list."""
        yield from serving_alone(sqlite_template, tmp_path)

    @pytest.fixture
    def browser(self, api: Api) -> Browser:
        return signed_in(api)

    def test_older_jobs_follow_page_by_page(self, api: Api, browser: Browser) -> None:
        for number in range(60):
            a_job(api.database, api.rows, name=f"many-{number}")

        first = opened(browser, "/jobs?q=many")
        second = opened(browser, href(first, "Older jobs"))

        assert "1\u201350 of 60" in first.text
        assert sorted(names_of(first) + names_of(second)) == sorted(
            f"many-{number}" for number in range(60)
        )
        assert href(second, "First page") == "/jobs?q=many"

    def test_the_newest_job_has_an_address(self, api: Api, browser: Browser) -> None:
        newest = a_job(api.database, api.rows, name="the newest many")

        answer = browser.client.get("/jobs/latest", follow_redirects=False)

        assert answer.headers["location"] == f"/jobs/{newest}"


class TestTrash:
    def test_rows_tell_when_they_are_deleted_for_good(self, browser: Browser) -> None:
        page = opened(browser, "/jobs?trashed=true")

        said = {row.attributes["class"]: " ".join(row.text.split()) for row in rows_of(page)}
        assert "in 6 d" in said["is-cancelled"]
        assert "in 1 d" in said["is-succeeded"]
        assert len(page.all("button", name_="restore")) == 2
        assert not page.all("button", value="delete")

    def test_an_empty_trash_says_so(self, browser: Browser) -> None:
        page = opened(browser, "/jobs?trashed=true&q=nothing")

        assert "No job is named \u2018nothing\u2019 and in the trash." in page.text


class TestRows:
    def test_single_rows_come_for_a_page_that_shows_them(self, browser: Browser) -> None:
        listed = browser.client.get("/v1/jobs", params={"q": "good"}).json()["data"]
        job = listed[0]["id"]

        answer = browser.client.get(f"/jobs?rows={job}", headers={"HX-Request": "true"})
        other = browser.client.get(f"/jobs?rows={job}&state=failed", headers={"HX-Request": "true"})

        assert names_of(Document(answer.text)) == ["good"]
        assert names_of(Document(other.text)) == []
        assert "<html" not in answer.text

    def test_the_numbers_come_alone(self, browser: Browser) -> None:
        answer = browser.client.get("/jobs?q=shift&part=states", headers={"HX-Request": "true"})

        assert href(Document(answer.text), "Paused 1") == "/jobs?q=shift&state=paused"


class TestOthers:
    def test_a_stranger_is_sent_to_the_sign_in_page_and_back(self, api: Api) -> None:
        answer = a_browser(api).client.get(
            "/jobs?q=a+b", headers={"Accept": "text/html"}, follow_redirects=False
        )

        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Fjobs%3Fq%3Da%2Bb"

    def test_jobs_of_other_projects_are_not_there(self, api: Api, browser: Browser) -> None:
        with api.database.write() as unit:
            owner = insert_owner(unit.session, "foreign")
            dataset, version = a_dataset(unit.session, owner.project_id, owner.user_id)
        foreign = Rows(owner.user_id, owner.project_id, dataset, version)
        job = a_job(api.database, foreign, name="foreign")

        page = opened(browser, "/jobs?q=foreign")
        rows = browser.client.get(f"/jobs?rows={job}", headers={"HX-Request": "true"})

        assert names_of(page) == []
        assert job not in rows.text


class TestEmpty:
    def test_an_empty_home_says_what_a_job_is_and_how_to_start(
        self, sqlite_template: Path, tmp_path: Path
    ) -> None:
        for empty in serving_alone(sqlite_template, tmp_path):
            page = opened(signed_in(empty), "/jobs")
            latest = signed_in(empty).client.get("/jobs/latest", follow_redirects=False)

        assert "A job trains one model on one dataset." in page.text
        assert "http://127.0.0.1/v1/jobs" in page.text
        assert "/demo/job" in page.actions
        assert latest.headers["location"] == "/jobs"
